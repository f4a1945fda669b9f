"""Ctrl-C, unusable output paths and notes: one line, and the right exit code."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from auxface.progress import progress_bar


def table(tmp_path, levels=("x", "y")) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    for number in range(8):
        Image.fromarray(rng.integers(0, 256, (24, 24, 3), np.uint8)).save(tmp_path / f"{number}.png")
    splits = ["train", "train", "train", "train", "val", "val", "test", "test"]
    kinds = ["a", "b", "a", "b", "a", "a", "a", "b"]
    return pd.DataFrame(
        {
            "path": [f"{n}.png" for n in range(8)],
            "split": splits,
            "kind": kinds,
            "sex": [levels[n % 2] for n in range(8)],
        }
    )


def prepare(run, *arguments):
    done = run("prepare", "table", *arguments, "--label", "kind", "--group", "sex", "-o", "m.parquet")
    assert done.code == 0, done.err


def test_a_json_lines_table_is_read_as_csv_is(run, tmp_path):
    rows = table(tmp_path)
    rows.to_csv(tmp_path / "list.csv", index=False)
    rows.to_json(tmp_path / "list.jsonl", orient="records", lines=True)
    prepare(run, "list.csv")
    expected = pd.read_parquet(tmp_path / "m.parquet")
    prepare(run, "list.jsonl", "--overwrite")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "m.parquet"), expected)


def test_data_show_prints_counts_and_notes(run, tmp_path):
    table(tmp_path, levels=("Female", "female ")).to_csv(tmp_path / "list.csv", index=False)
    prepare(run, "list.csv")
    done = run("data", "show", "m.parquet")
    assert "kind in train: a 2, b 2" in done.out
    assert "sex in train:" in done.out
    assert "note: kind: no row of split val has b" in done.err
    json_only = run("data", "show", "m.parquet", "--json")
    assert json.loads(json_only.out)["rows"] == 8


@pytest.mark.parametrize("target", ["file/out.parquet", "file/deep/out.parquet"])
def test_an_output_below_a_file_is_refused(run, tmp_path, target):
    table(tmp_path).to_csv(tmp_path / "list.csv", index=False)
    (tmp_path / "file").write_text("")
    done = run("prepare", "table", "list.csv", "--label", "kind", "-o", target)
    assert done.code == 2
    [message] = [line for line in done.err.splitlines() if line.startswith("auxface: ")]
    assert "file" in message


def test_an_interrupt_during_imports_is_one_line(run, monkeypatch):
    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("auxface.cli.app.main", interrupt)
    done = run("doctor")
    assert (done.code, done.err) == (130, "auxface: interrupted\n")


def test_an_interrupted_training_says_how_to_resume(run, tmp_path, monkeypatch):
    def interrupted(recipe, data, out, **options):
        out.mkdir()
        (out / "run.json").write_text("{}")
        raise KeyboardInterrupt

    monkeypatch.setattr("auxface.training.train.train", interrupted)
    done = run("train", "supervised", "--data", "m.parquet", "-o", "a run")
    assert done.code == 130
    assert done.err == "auxface: interrupted; resume with: auxface train --resume 'a run'\n"


def test_markup_in_a_name_does_not_break_a_progress_bar(capsys):
    with progress_bar("score [/b] [red", 1, "[/x]") as advance:
        advance(1)
    assert "[/b]" in capsys.readouterr().err


def test_redirected_training_prints_a_line_per_epoch(run, sixty, small):
    done = run("train", "supervised", "--data", sixty, "-o", "r", "--device", "cpu", *small, "--set", "train.epochs=2")
    assert done.code == 0, done.err
    lines = [line for line in done.err.splitlines() if line.startswith("epoch ")]
    number = r"\d+\.\d+"
    expected = rf"epoch {{}} of 2: loss {number}, balanced_accuracy {number} \(val\), {number} s"
    assert len(lines) == 2
    assert all(re.fullmatch(expected.format(epoch), line) for epoch, line in enumerate(lines, start=1))
    assert not set(done.err) & {"\r", "\x1b"}


@pytest.mark.parametrize("count", [1, 3])
def test_predict_says_once_that_faces_are_not_detected(run, tmp_path, trained, count):
    table(tmp_path)
    done = run("predict", trained, "--device", "cpu", *(f"{number}.png" for number in range(count)))
    assert done.code == 0, done.err
    assert done.err.count("note: faces are not detected: the central square of each image") == 1


def test_control_characters_are_escaped_in_messages(run):
    done = run("train", "a\x1b[31m\udcff.yaml", "--check", "--data", "m.parquet")
    assert done.code == 2
    assert "a\\x1b[31m\\udcff.yaml" in done.err
