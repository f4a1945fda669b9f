"""Manifests from other programs: read, or refused with one message."""

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from auxface.data.manifest import Label, Manifest, read_manifest, write_manifest
from auxface.errors import InputError

HEADER = {"version": 1, "labels": {"sex": {"kind": "class", "classes": ["f", "m"]}}, "groups": [], "crop": None}


def rows(**changes):
    table = {
        "path": ["a.png", "b.png", "c.png"], "split": ["train", "val", "test"], "dataset": "d",
        "source": ["1", "2", "3"],
        "video": "", "frame": 0, "method": "", "sex": ["f", "m", "f"],
    }  # fmt: skip
    return pd.DataFrame(table | changes)


def write(path, table, header=HEADER):
    made = pa.Table.from_pandas(table, preserve_index=False)
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    pq.write_table(made.replace_schema_metadata({b"auxface": text}), path)
    return path


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_a_written_manifest_is_read_back(tmp_path, suffix):
    manifest = Manifest(rows(), {"sex": Label("class", ("f", "m"))})
    write_manifest(manifest, tmp_path / f"m{suffix}")
    assert read_manifest(tmp_path / f"m{suffix}").hash == manifest.hash


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"path": [1, 2, 3]}, "row 1 has path .*expected a file name"),
        ({"path": ["a", None, "c"]}, "row 2 has path (None|nan)"),
        ({"path": ["a", "", "c"]}, "row 2 has path ''"),
        ({"frame": [0.5, 0, 0]}, "integer in every row"),
        ({"split": ["train", "val", "dev"]}, "row 3 has split 'dev'"),
        ({"sex": ["f", "x", "m"]}, "row 2 has sex 'x'"),
        ({"source": ["1", "1", "2"], "frame": [0, 1, 0]}, "more than one split"),
    ],
)
def test_invalid_cells_are_refused_with_their_row(tmp_path, changes, message):
    with pytest.raises(InputError, match=message) as caught:
        read_manifest(write(tmp_path / "m.parquet", rows(**changes)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "header",
    [
        b"{", b"\xff\xfe", b"[" * 100_000, b"[]", b"null", b'{"version": 2}', b'{"version": 1}',
        b'{"version": 1, "labels": []}', b'{"version": 1, "labels": {"sex": 3}}',
        b'{"version": 1, "labels": {"sex": {"kind": "class", "classes": 5}}}',
        b'{"version": 1, "labels": {"sex": {"kind": "klass"}}}', b'{"version": 1, "labels": {}, "crop": 4}',
        b'{"version": 1, "labels": {"sex": {"kind": "class", "classes": ["f", "m", "f"]}}}',
        b'{"version": 1, "labels": {}, "groups": ["absent"]}',
    ],
)  # fmt: skip
def test_invalid_headers_are_refused(tmp_path, header):
    with pytest.raises(InputError, match=r"m\.parquet"):
        read_manifest(write(tmp_path / "m.parquet", rows(), header))


def test_leaking_sources_are_read_only_for_inspection(tmp_path):
    path = write(tmp_path / "m.parquet", rows(source=["1", "1", "2"], frame=[0, 1, 0]))
    assert len(read_manifest(path, allow_leaks=True).table) == 3


def bomb(kind):
    """Return columns of a table that is small as a file and large in memory."""
    count = 3_000_000
    if kind == "one long text":
        return {"path": pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int32)), ["x" * 4000])}
    if kind == "zeros":
        count = 30_000_000
        return {name: pa.array(np.zeros(count, np.int8)) for name in ("path", "frame", "split")}
    return {"path": pa.array([list(range(10))] * 3)}


@pytest.mark.parametrize(
    ("kind", "message"),
    [("one long text", "GB of memory"), ("zeros", "GB of memory"), ("lists", "column 'path' holds list<")],
)
def test_a_small_file_of_a_large_table_is_refused(tmp_path, kind, message):
    made = pa.table(bomb(kind)).replace_schema_metadata({b"auxface": json.dumps(HEADER).encode()})
    pq.write_table(made, tmp_path / "m.parquet")
    assert (tmp_path / "m.parquet").stat().st_size < 2_000_000
    with pytest.raises(InputError, match=message):
        read_manifest(tmp_path / "m.parquet")


def test_other_columns_of_a_manifest_are_not_read(tmp_path):
    path = write(tmp_path / "m.parquet", rows(notes=["x", "y", "z"], vector=[[1], [2], [3]]))
    assert "notes" not in read_manifest(path).table


def test_dictionaries_and_their_texts_are_the_same_manifest(tmp_path):
    plain = read_manifest(write(tmp_path / "a.parquet", rows()))
    encoded = rows()
    for name in ("path", "split", "source", "sex"):
        encoded[name] = encoded[name].astype("category")
    assert read_manifest(write(tmp_path / "b.parquet", encoded)).hash == plain.hash


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ({"kind": "binary", "classes": []}, "label 'sex' is binary and has 0 classes"),
        ({"kind": "binary", "classes": ["a"]}, "label 'sex' is binary and has 1 classes"),
        ({"kind": "binary", "classes": ["a", "b", "c"]}, "label 'sex' is binary and has 3 classes"),
        ({"kind": "ordinal", "classes": ["a"]}, "expected .* none for ordinal"),
        ({"kind": "class", "classes": "fm"}, "not in the format"),
    ],
)
def test_a_number_of_classes_that_a_kind_cannot_have_is_refused(tmp_path, label, message):
    header = HEADER | {"labels": {"sex": label}}
    with pytest.raises(InputError, match=message):
        read_manifest(write(tmp_path / "m.parquet", rows(sex=[0, 1, 0]), header))


def test_an_infinite_ordinal_is_refused_with_its_row(tmp_path):
    header = HEADER | {"labels": {"age": {"kind": "ordinal"}}}
    with pytest.raises(InputError, match="row 2 has age 'inf'; expected a finite number"):
        read_manifest(write(tmp_path / "m.parquet", rows(age=[1.0, float("inf"), 2.0]), header))


FORMULAS = ["=1+1", "'=1+1", "@x"]


def test_a_csv_manifest_holds_no_formula_and_is_read_back_as_it_was(tmp_path):
    header = {"sex": Label("class", ("=f", "'=f", "-m")), "many": Label("multilabel", ("+a", "'+a"))}
    table = rows(path=FORMULAS, source=["+1+1", "-1", " =x"], sex=["=f", "'=f", "-m"])
    table[["+a", "'+a"]] = [[0, 1], [1, 0], [1, 1]]
    manifest = Manifest(table, header, groups=("sex",))
    write_manifest(manifest, tmp_path / "m.csv")
    for line in (tmp_path / "m.csv").read_text().splitlines():
        for cell in line.split(","):
            assert cell.lstrip()[:1] not in tuple("=+-@") or cell.lstrip("-").isdecimal()
    again = read_manifest(tmp_path / "m.csv")
    assert again.hash == manifest.hash
    assert list(again.table["path"]) == FORMULAS
