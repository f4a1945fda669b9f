"""``data show``: counts are right, leaks and near-duplicates are reported, and the page is one file."""

import json
import re
import sys

import layout_trees
import pandas as pd
import pytest

from auxface.cli import main
from auxface.data.prepare.prepare import prepare
from auxface.data.show import show_data
from auxface.errors import InputError


@pytest.fixture
def manifest(tmp_path):
    rows = []
    for number in range(24):
        path = tmp_path / "images" / f"{number}.png"
        layout_trees.image(path, side=64)
        split = ("train", "train", "val", "test")[number % 4]
        rows.append((f"images/{number}.png", split, "mf"[number % 2], "<b>" if number % 3 else "y"))
    # The same pixels in a file of other bytes: 0 is in training, 3 in test.
    from PIL import Image

    Image.open(tmp_path / "images/0.png").save(tmp_path / "images/3.png", compress_level=0)
    pd.DataFrame(rows, columns=["path", "split", "sex", "age"]).to_csv(tmp_path / "l.csv", index=False)
    options = {"label": ["sex"], "group": ["age"]}
    prepare("table", tmp_path / "l.csv", out=tmp_path / "m.parquet", options=options)
    return tmp_path / "m.parquet"


def test_counts_leaks_and_unreadable_files_are_reported(manifest, tmp_path):
    (tmp_path / "images/5.png").write_bytes(b"")
    facts = show_data(manifest).to_dict()
    json.dumps(facts)
    assert facts["splits"] == {"train": 12, "val": 6, "test": 6}
    assert facts["labels"]["sex"]["splits"]["train"] == {"f": 6, "m": 6}
    assert sum(sum(split.values()) for split in facts["groups"]["age"]["splits"].values()) == 24
    assert (facts["leaks"]["pairs"], facts["duplicates"]["pairs"], facts["duplicates"]["contradicting"]) == (1, 1, 1)
    assert facts["leaks"]["first"][0]["path"].endswith("0.png")
    assert facts["unreadable"] == {"count": 1, "files": [{"path": "images/5.png", "reason": "empty file"}]}


def test_numbers_are_counted_in_round_ranges(manifest, tmp_path):
    table = pd.read_csv(tmp_path / "l.csv").assign(years=[1, 26, 80, 116] * 6)
    table.loc[0, "years"] = None
    table.to_csv(tmp_path / "n.csv", index=False)
    options = {"label": ["years:ordinal"]}
    prepare("table", tmp_path / "n.csv", out=tmp_path / "n.parquet", options=options)
    counted = show_data(tmp_path / "n.parquet").to_dict()["labels"]["years"]
    assert counted["unknown"]["train"] == 1
    assert list(counted["splits"]["train"].values()) == [5, 0, 6] + [0] * 9
    assert list(counted["splits"]["test"])[-1] == "110 to under 120"


def test_levels_are_counted_in_natural_order(manifest, tmp_path):
    ages = ["10-19", "3-9", "0-2", "20-29"] * 6
    pd.read_csv(tmp_path / "l.csv").assign(age=ages).to_csv(tmp_path / "a.csv", index=False)
    prepare("table", tmp_path / "a.csv", out=tmp_path / "a.parquet", options={"label": ["sex"], "group": ["age"]})
    counted = show_data(tmp_path / "a.parquet").to_dict()["groups"]["age"]["splits"]["train"]
    assert list(counted) == ["0-2", "3-9", "10-19", "20-29"]


def test_the_page_needs_neither_network_nor_script(manifest, tmp_path):
    show_data(manifest, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert not re.search(r"(src|href)\s*=\s*[\"'](?!data:)", page)
    assert "<script" not in page
    assert "<b>" not in page
    assert "&lt;b&gt;" in page
    assert page.count("data:image/jpeg") >= 20
    assert "Leaks between splits" in page
    with pytest.raises(InputError, match="--overwrite"):
        show_data(manifest, tmp_path / "page.html")


def test_sources_in_two_splits_are_reported_not_refused(manifest, tmp_path):
    table = pd.read_parquet(manifest)
    table["source"] = [f"s{row // 2}" for row in range(len(table))]
    table["frame"] = range(len(table))
    table.to_csv(tmp_path / "n.csv", index=False)
    header = {"version": 1, "labels": {}, "groups": ["age"], "crop": None}
    (tmp_path / "n.json").write_text(json.dumps(header))
    facts = show_data(tmp_path / "n.csv", tmp_path / "n.html").to_dict()
    assert facts["leaks"]["sources"] == 6
    assert "Sources in more than one split" in (tmp_path / "n.html").read_text()


def test_prepare_lists_leaks_and_removes_an_outdated_list(manifest, tmp_path):
    leaks = pd.read_csv(tmp_path / "m.leaks.csv")
    assert leaks[["split", "other_split"]].to_numpy().tolist() == [["train", "test"]]
    layout_trees.image(tmp_path / "images" / "3.png", side=64)
    options = {"label": ["sex"], "group": ["age"]}
    prepare("table", tmp_path / "l.csv", out=manifest, options=options, overwrite=True)
    assert not (tmp_path / "m.leaks.csv").exists()


@pytest.fixture
def command(monkeypatch, capsys):
    """Runs ``auxface`` with arguments; returns exit code, standard output and standard error."""

    def run(*given):
        monkeypatch.setattr(sys, "argv", ["auxface", *map(str, given)])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, *capsys.readouterr()

    return run


def test_show_and_prepare_print_results_and_one_line_errors(command, manifest, tmp_path):
    code, out, err = command("data", "show", manifest, "--json")
    assert code == 0, err
    assert json.loads(out)["rows"] == 24
    code, out, err = command("data", "show", tmp_path / "none.parquet")
    assert (code, out) == (2, "")
    assert err.startswith("auxface: ")
    assert err.count("\n") == 1
    code, out, err = command(
        "prepare", "table", tmp_path / "l.csv", "--label", "sex", "--group", "age", "-o", tmp_path / "o.csv"
    )
    assert code == 0, err
    assert "found 24, usable 24" in out
    assert "warning: 1 pairs" in err
    code, out, err = command("prepare", "folder", tmp_path / "nowhere", "-o", tmp_path / "p.parquet")
    assert code == 2
    assert err.count("\n") == 1
