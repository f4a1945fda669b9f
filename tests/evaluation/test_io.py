"""Tables on disk: round trips, and errors for invalid or hostile files."""

import gzip
import json
import zipfile
from contextlib import suppress

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated_tables import emotion_samples, emotion_scores, forged_predictions

from auxface.evaluation import (
    Predictions,
    ScoredTask,
    TableError,
    audit_tables,
    parquet_tables,
    read_predictions,
    table_files,
    write_predictions,
)


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_a_table_is_read_as_it_was_written(tmp_path, suffix):
    table = forged_predictions(n=200)
    table.frame.loc[3, "group.race"] = None
    table.tasks = (ScoredTask("forged", "binary", ("real", "forged"), {"forged": 0.4}, "equal_error", (0.3, 0.5)),)
    write_predictions(table, tmp_path / f"t{suffix}")
    back = read_predictions(tmp_path / f"t{suffix}")
    assert (back.tasks, back.left_out, back.provenance) == (table.tasks, table.left_out, table.provenance)
    one, other = (audit_tables({"m": t}, resamples=50).to_dict() for t in (table, back))
    assert one == other


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_a_bare_table_of_any_model_is_enough(tmp_path, suffix):
    frame = emotion_scores(emotion_samples(100), 2.0, 0).frame
    bare = frame[[name for name in frame if name.startswith(("true.", "score."))]]
    write = bare.to_parquet if suffix == ".parquet" else bare.to_csv
    write(tmp_path / f"t{suffix}", index=False)
    found = read_predictions(tmp_path / f"t{suffix}")
    assert found.tasks[0].kind == "class"
    assert audit_tables({"m": found}, resamples=50).models["m"].tasks["emotion"].overall["accuracy"].n == 100


def test_tasks_are_inferred_from_columns(tmp_path):
    frame = pd.DataFrame(
        {"true.a": [0, 1], "score.a.yes": [0.2, 0.9], "true.b.x": [0, 1], "score.b.x": [0.1, 0.2], "true.b.y": [1, 1],
         "score.b.y": [0.3, 0.2], "true.age": [31, 20], "predicted.age": [30.0, 22.0]}
    )  # fmt: skip
    frame.to_parquet(tmp_path / "t.parquet")
    kinds = {task.name: (task.kind, task.classes) for task in read_predictions(tmp_path / "t.parquet").tasks}
    assert kinds == {"a": ("binary", ("not yes", "yes")), "b": ("multilabel", ("x", "y")), "age": ("ordinal", ())}


def broken(change):
    return change(forged_predictions(n=60).frame)


def many_levels(frame):
    frame = pd.concat([frame] * 10, ignore_index=True)
    return frame.assign(frame=range(len(frame)), **{"group.id": [f"id {place}" for place in range(len(frame))]})


BROKEN = {
    "no truth": (lambda f: f.drop(columns="true.forged"), "no column true.TASK"),
    "no score": (lambda f: f.drop(columns="score.forged.forged"), "has no scores"),
    "logits": (lambda f: f.assign(**{"score.forged.forged": 3.5}), "outside \\[0, 1\\]"),
    "infinite": (lambda f: f.assign(**{"score.forged.forged": np.inf}), "outside \\[0, 1\\]"),
    "words": (lambda f: f.assign(**{"score.forged.forged": "high"}), "must hold numbers"),
    "unknown class": (lambda f: f.assign(**{"true.forged": 2}), "holds '2'; expected 0 or 1"),
    "names": (lambda f: f.assign(**{"true.forged": "fake"}), "holds 'fake'; expected 0 or 1"),
    "duplicate keys": (lambda f: pd.concat([f, f.iloc[:5]]), "row 61 repeats the key of an earlier row"),
    "no rows": (lambda f: f.iloc[:0], "no rows"),
    "a group that is no group": (many_levels, "group 'id' has 600 levels, more than 256"),
    "a huge string": (lambda f: f.assign(**{"group.race": "x" * 1_000_000}), "has 1,000,000 characters"),
    "lists": (lambda f: f.assign(**{"true.forged": [[1]] * len(f)}), "holds a (list|ndarray)"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_invalid_parquet_tables_are_refused(tmp_path, name):
    change, sentence = BROKEN[name]
    broken(change).to_parquet(tmp_path / "t.parquet", index=False)
    with pytest.raises(TableError, match=sentence) as caught:
        read_predictions(tmp_path / "t.parquet")
    assert "t.parquet" in str(caught.value)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("name", [name for name in BROKEN if name != "lists"])
def test_invalid_csv_tables_are_refused(tmp_path, name):
    change, sentence = BROKEN[name]
    broken(change).to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(TableError, match=sentence):
        read_predictions(tmp_path / "t.csv")


def test_partly_scored_rows_are_refused_unscored_ones_counted(tmp_path):
    table = emotion_scores(emotion_samples(60), 2.0, 0)
    columns = [name for name in table.frame if name.startswith("score.")]
    table.frame.loc[4, columns] = np.nan
    write_predictions(table, tmp_path / "t.parquet")
    assert (
        audit_tables({"m": read_predictions(tmp_path / "t.parquet")}, resamples=50)
        .models["m"]
        .tasks["emotion"]
        .unscored
        == 1
    )
    table.frame.loc[4, columns[0]] = 0.5
    write_predictions(table, tmp_path / "t.parquet")
    with pytest.raises(TableError, match="row 5 has scores for some classes"):
        read_predictions(tmp_path / "t.parquet")


@pytest.mark.parametrize(
    ("name", "content"),
    [("t.parquet", b"PAR1 but not really"), ("t.parquet", b""), ("t.csv", b""), ("t.csv", b"\xff\xfe\x00a,b\n"),
     ("t.csv", b"a,b\n1,2\n"), ("t.txt", b"hello")],
)  # fmt: skip
def test_files_that_are_no_table_are_refused_by_name(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(TableError, match=name):
        read_predictions(tmp_path / name)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"\n <!DOCTYPE html>\n<html><body>a,b</body></html>", "a web page"),
        (b"\xef\xbb\xbf<HTML>\n1,2\n", "a web page"),
        (b'<?xml version="1.0"?>\n<rows/>\n', "an XML document"),
        (b"%PDF-1.7\n1 0 obj\n", "a PDF document"),
        (b"\x89PNG\r\n\x1a\n", "an image"),
    ],
)
def test_a_document_is_refused_by_its_kind(tmp_path, content, kind):
    path = tmp_path / "page.csv"
    path.write_bytes(content)
    with pytest.raises(TableError, match=rf"{kind}.*not a table; expected a table: \.parquet, \.csv"):
        read_predictions(path)


def test_rows_longer_than_the_header_are_refused(tmp_path):
    (tmp_path / "t.csv").write_text("true.a,score.a.yes\n1,0.5\n0,0.2,extra,0.1\n" + "1,0.4\n" * 30)
    with pytest.raises(TableError, match="row 2 has 4 fields, but the header has 2"):
        read_predictions(tmp_path / "t.csv")
    (tmp_path / "t.csv").write_text("true.a,score.a.yes\n" + "1,0.5,\n0,0.2,\n" * 30)
    assert len(read_predictions(tmp_path / "t.csv").frame) == 60


def test_an_empty_file_is_said_to_be_empty(tmp_path):
    (tmp_path / "t.csv").write_text("\n")
    with pytest.raises(TableError, match="the file is empty"):
        read_predictions(tmp_path / "t.csv")


def test_a_table_in_which_nothing_is_measured_says_so(tmp_path):
    frame = pd.DataFrame({"true.a": [None] * 40, "score.a.yes": [0.1, 0.9] * 20})
    notes = audit_tables({"m": Predictions(frame, (ScoredTask("a", "binary", ("no", "yes")),))}, resamples=20).notes
    assert "m: nothing was measured for a: none of 40 rows has a true label." in notes


def test_repeated_columns_are_refused(tmp_path):
    (tmp_path / "t.csv").write_text("true.a,score.a.x,score.a.x\n1,0.5,0.5\n")
    with pytest.raises(TableError, match=r"'score.a.x' occurs twice"):
        read_predictions(tmp_path / "t.csv")
    array = pa.array([1.0, 0.0])
    table = pa.Table.from_arrays([array] * 3, names=["true.a", "score.a.x", "score.a.x"])
    pq.write_table(table, tmp_path / "t.parquet")
    with pytest.raises(TableError, match="twice"):
        read_predictions(tmp_path / "t.parquet")


HEADERS = [
    "[1]", "{", '{"version": 9}', '{"tasks": [1]}', '{"tasks": {"forged": 3}}', '{"tasks": {"forged": {"kind": "x"}}}',
    '{"tasks": {"forged": {"kind": "binary", "classes": ["a"]}}}', '{"left_out": 3}', '{"left_out": {"a": -1}}',
    '{"tasks": {"forged": {"kind": "binary", "classes": ["a", "forged"], "thresholds": {"forged": "x"}}}}',
    '{"tasks": {"forged": {"kind": "binary", "classes": ["a", "forged"], "thresholds": {"forged": NaN}}}}',
    '{"tasks": {"forged": {"kind": "binary", "classes": ["a", "forged"], "abstain": [0.9, 0.1]}}}',
    '{"tasks": {"other": {"kind": "binary", "classes": ["a", "b"]}}}', "[" * 100_000,
]  # fmt: skip


@pytest.mark.parametrize("header", HEADERS, ids=range(len(HEADERS)))
def test_invalid_headers_are_refused(tmp_path, header):
    table = pa.Table.from_pandas(forged_predictions(n=40).frame, preserve_index=False)
    pq.write_table(table.replace_schema_metadata({b"auxface": header.encode()}), tmp_path / "t.parquet")
    with pytest.raises(TableError, match=r"t\.parquet"):
        read_predictions(tmp_path / "t.parquet")


def test_too_large_a_table_is_refused_before_it_is_read(tmp_path, monkeypatch):
    write_predictions(forged_predictions(n=4000), tmp_path / "t.parquet")
    monkeypatch.setattr(parquet_tables, "MOST_BYTES", 100_000)
    with pytest.raises(TableError, match="4,000 rows would take"):
        read_predictions(tmp_path / "t.parquet")


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([".parquet", ".csv"]), st.integers(0, 2**32 - 1))
def test_mutated_files_give_a_table_or_a_table_error(tmp_path_factory, suffix, seed):
    folder = tmp_path_factory.mktemp("mutated")
    generator = np.random.default_rng(seed)
    path = folder / f"t{suffix}"
    write_predictions(forged_predictions(n=40), path)
    content = bytearray(path.read_bytes())
    for place in generator.integers(0, len(content), generator.integers(1, 6)):
        content[place] = generator.integers(0, 256)
    path.write_bytes(bytes(content[: generator.integers(len(content) // 2, len(content) + 1)]))
    with suppress(TableError):  # any other error fails the test
        assert isinstance(read_predictions(path), Predictions)


def test_a_header_is_plain_json(tmp_path):
    write_predictions(forged_predictions(n=40), tmp_path / "t.csv")
    assert json.loads((tmp_path / "t.json").read_text())["tasks"]["forged"]["kind"] == "binary"


@pytest.mark.parametrize("kind", ["gzip", "excel"])
def test_a_small_file_that_unpacks_to_much_is_refused(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(table_files, "_MOST_UNPACKED", 10_000)
    path, content = tmp_path / "t.csv", "true.a,score.a.x\n" + "0,0.5\n" * 10_000
    if kind == "gzip":
        path.write_bytes(gzip.compress(content.encode()))
    else:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("xl/workbook.xml", content)
    with pytest.raises(TableError, match=r"t\.csv: the uncompressed size exceeds"):
        read_predictions(path)


def test_deeply_nested_json_is_refused(tmp_path):
    (tmp_path / "t.json").write_text("[" * 100_000)
    with pytest.raises(TableError, match="cannot be read as a table"):
        read_predictions(tmp_path / "t.json")
