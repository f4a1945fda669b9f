"""Cells of CSV files: harmless in spreadsheet programs and terminals, and restored as they were."""

import io
import re

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auxface.cli.audit import print_audit
from auxface.evaluation import read_predictions
from auxface.evaluation.audit import audit
from auxface.evaluation.csv_cells import escape_cells, restore_cells

# Parts of escaped texts, in any order and number.
PARTS = ["'", "=", "-", "@", "1", " ", "x", "\\", "\\x1b", "\\x5c", "\\x5cx9b", "\x1b[31m", "\n", "\r", "\x00", "\x9b",
         "\u202e", "\\u202e", "\u2067"]  # fmt: skip
TEXTS = st.lists(st.sampled_from(PARTS) | st.characters(codec="utf-8"), max_size=6).map("".join)


def escaped(text: str) -> str:
    return escape_cells(pd.DataFrame({"name": [text]}, dtype=object))["name"].iloc[0]


@settings(max_examples=500, deadline=None)
@given(TEXTS)
def test_a_cell_is_harmless_and_restored_through_a_file(text):
    cell = escaped(text)
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", cell)
    # A number with a sign is no formula.
    number = re.compile(r"[+-]?(\d+[.,]?\d*|[.,]\d+)([eE][+-]?\d+)?", re.ASCII)
    assert number.fullmatch(cell) or not re.match(r"\s*[=+@-]", cell)
    content = escape_cells(pd.DataFrame({"name": [text], "n": [1]}, dtype=object)).to_csv(index=False)
    read = restore_cells(pd.read_csv(io.StringIO(content), dtype=str, keep_default_na=False))
    assert read["name"].tolist() == [text]


@pytest.mark.parametrize(
    "text", ["+0", "-1,5", "1e-3", "C:\\x1b\\1.png", "a\\x00b", "\\x5cx1b", "it's", "-1.5", "'quoted'", "a b"]
)
def test_harmless_text_is_unchanged(text):
    assert escaped(text) == text
    # The same holds for a table that another program wrote.
    assert restore_cells(pd.DataFrame({"name": [text]}))["name"].tolist() == [text]


def test_pages_show_control_characters_as_the_csv_files_do(tmp_path, capsys):
    odd = {"F": "F\x1b[31m\x07", "M": "M\u202e\u2066"}
    table = pd.DataFrame({"label": [0, 1] * 30, "score": [0.1, 0.9] * 30, "race\x1b[0m": list("FFMM") * 15})
    table["race\x1b[0m"] = table["race\x1b[0m"].map(odd)
    found = audit(table, tmp_path / "a", resamples=100, title="x\x9b\u2067", names=["m\x00"])
    page = (tmp_path / "a" / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", page)
    for name in (r"race\x1b[0m", r"F\x1b[31m\x07", r"M\u202e\u2066", r"x\x9b\u2067", r"m\x00"):
        assert name in page
    print_audit(found, tmp_path / "report.html", as_json=False)
    assert not set(capsys.readouterr().out) & set("\x1b\x07\x00\u202e")


@pytest.mark.parametrize("text", ["+inf", "-nan", "+1_0", "-A1", "- 1+1", "+1+1"])
def test_text_that_only_python_reads_as_a_number_is_escaped(text):
    assert escaped(text) == f"'{text}"


def test_a_name_with_and_without_an_apostrophe_is_one_level(tmp_path):
    rows = "".join(f"{number % 2},0.{number % 10},{level}\n" for number in range(20) for level in ("=a", "'=a"))
    (tmp_path / "t.csv").write_text(f"true.forged,score.forged,group.kind\n{rows}")
    assert read_predictions(tmp_path / "t.csv").frame["group.kind"].unique().tolist() == ["=a"]
