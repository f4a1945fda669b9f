"""Manifests that a stranger wrote: read, or refused in one sentence."""

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
def test_what_is_written_is_read(tmp_path, suffix):
    manifest = Manifest(rows(), {"sex": Label("class", ("f", "m"))})
    write_manifest(manifest, tmp_path / f"m{suffix}")
    assert read_manifest(tmp_path / f"m{suffix}").hash == manifest.hash


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"path": [1, 2, 3]}, "row 1 has path .*expected the name of a file"),
        ({"path": ["a", None, "c"]}, "row 2 has path (None|nan)"),
        ({"path": ["a", "", "c"]}, "row 2 has path ''"),
        ({"frame": [0.5, 0, 0]}, "whole number"),
        ({"split": ["train", "val", "dev"]}, "row 3 has split 'dev'"),
        ({"sex": ["f", "x", "m"]}, "row 2 has sex 'x'"),
        ({"source": ["1", "1", "2"], "frame": [0, 1, 0]}, "more than one split"),
    ],
)
def test_bad_cells(tmp_path, changes, message):
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
def test_absurd_headers(tmp_path, header):
    with pytest.raises(InputError, match=r"m\.parquet"):
        read_manifest(write(tmp_path / "m.parquet", rows(), header))


def test_spread_sources_are_kept_only_for_showing(tmp_path):
    path = write(tmp_path / "m.parquet", rows(source=["1", "1", "2"], frame=[0, 1, 0]))
    assert len(read_manifest(path, spread_sources="keep").table) == 3
