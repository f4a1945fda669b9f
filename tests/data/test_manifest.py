"""Manifests from other programs: read, or refused with one message."""

import json

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
