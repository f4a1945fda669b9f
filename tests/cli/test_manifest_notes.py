"""``prepare``, ``data show`` and ``train --check`` print the same notes on classes, names and repeated rows."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from auxface.data.manifest import KEY, Label, Manifest
from auxface.data.manifest_notes import manifest_notes

EXPECTED = [
    "1 row repeats the path, split, labels and groups of an earlier row; the first is row 10 (PATH)",
    "kind: no row of split train has c",
    "kind: no row of split val has b, c",
    "kind: 'c' and 'c ' differ only in spaces or letter case",
    "smiling: no row of split val has smiling",
    "sex: 'Female' and 'female' differ only in spaces or letter case",
]


@pytest.fixture
def listed(tmp_path) -> pd.DataFrame:
    """A list of nine images with every fault, written as ``list.csv``."""
    rng = np.random.default_rng(0)
    for number in range(9):
        Image.fromarray(rng.integers(0, 256, (24, 24, 3), np.uint8)).save(tmp_path / f"{number}.png")
    table = pd.DataFrame(
        {
            "path": [f"{number}.png" for number in range(9)],
            "split": ["train"] * 5 + ["val"] * 3 + ["test"],
            "kind": ["a", "b", "a", "b", "c ", "a", "a", "c", "c"],
            "smiling": [0, 1, 0, 1, 1, 0, 0, 0, 1],
            "sex": ["Female", "Male", "Female", "female", "Male", "Male", "Male", "Male", "Male"],
        }
    )
    table.loc[7, "kind"] = "c "
    table = pd.concat([table, table.iloc[[2]]], ignore_index=True)
    table.to_csv(tmp_path / "list.csv", index=False)
    return table


def notes(errors: str) -> list[str]:
    return [line.removeprefix("note: ") for line in errors.splitlines() if line.startswith("note: ")]


def test_three_commands_print_the_same_notes(run, tmp_path, listed, small):
    labels = ("--label", "kind", "--label", "smiling", "--group", "sex")
    made = run("prepare", "table", "list.csv", *labels, "--duplicates", "keep", "-o", "m.parquet")
    assert made.code == 0, made.err
    path = str(tmp_path / "2.png")
    assert notes(made.err) == [line.replace("PATH", path) for line in EXPECTED]
    shown = run("data", "show", "m.parquet")
    assert sorted(notes(shown.err)) == sorted(line.replace("PATH", "2.png") for line in EXPECTED)
    facts = json.loads(run("data", "show", "m.parquet", "--json").out)
    assert facts["notes"] == notes(shown.err)
    checked = run("train", "supervised", "--data", "m.parquet", "--check", "--device", "cpu", *small)
    assert set(notes(checked.err)) >= set(facts["notes"]), checked.err


def test_a_complete_manifest_has_no_notes(listed):
    table = pd.DataFrame({"path": ["0.png", "1.png", "2.png", "3.png"], "split": ["train", "train", "val", "val"]})
    table = table.assign(**dict.fromkeys(KEY, ""), hat=[0, 1, 0, 1], beard=[1, 0, 0, 1], age=[3.0, 4.0, 5.0, 6.0])
    labels = {"has": Label("multilabel", ("hat", "beard")), "age": Label("ordinal")}
    assert manifest_notes(Manifest(table, labels)) == []


def test_attributes_without_positives_are_noted():
    table = pd.DataFrame({"path": ["0.png", "1.png"], "split": ["train", "val"], "hat": [0, 1], "beard": [1, None]})
    notes = manifest_notes(Manifest(table, {"has": Label("multilabel", ("hat", "beard"))}))
    assert notes == ["has: no row of split train has hat", "has: no row of split val has beard"]


def test_many_absent_classes_are_counted():
    classes = tuple(f"c{number}" for number in range(30))
    table = pd.DataFrame({"path": ["0.png"], "split": ["train"], "kind": ["c0"]})
    [note] = manifest_notes(Manifest(table, {"kind": Label("class", classes)}))
    assert note.startswith("kind: no row of split train has c1, c2, ")
    assert note.endswith("c10 and 19 other classes")
