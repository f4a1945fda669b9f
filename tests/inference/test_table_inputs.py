"""Tables that ``prepare table``, ``search`` and ``--pairs`` read: limits on memory, and the place of an error."""

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from auxface.data.layouts.table import read_text_table
from auxface.data.manifest import Manifest
from auxface.errors import InputError
from auxface.evaluation import parquet_tables
from auxface.inference.embed import read_embeddings
from auxface.inference.pairs import read_pairs


@pytest.fixture
def small_limit(monkeypatch):
    """Tables of more than 1 MiB may be at most 100 times larger than their file, instead of those of 512 MiB."""
    monkeypatch.setattr(parquet_tables, "_FREE_BYTES", 2**20)


@pytest.fixture
def images() -> Manifest:
    """A manifest of three images of two people."""
    table = pd.DataFrame({"path": ["a/1.png", "b/1.png", "b/2.png"], "source": ["A", "B", "B"], "frame": [1, 1, 2]})
    return Manifest(table.assign(split="test", dataset="", method="", video=""), {})


def write_expanding(path, **columns):
    """Write a Parquet file whose equal texts are stored once, and which is small although its columns are large."""
    texts = pa.DictionaryArray.from_arrays(pa.array(np.zeros(2000, np.int32)), ["x" * 4000])
    table = pa.table({"path": texts, **columns})
    pq.write_table(table.replace_schema_metadata({b"auxface": b'{"kind": "embeddings", "width": 1}'}), path)
    assert path.stat().st_size < 50_000


def test_a_small_file_of_a_large_table_of_images_is_refused(tmp_path, small_limit):
    write_expanding(tmp_path / "list.parquet")
    with pytest.raises(InputError, match=r"rows would take .* GB of memory"):
        read_text_table(tmp_path / "list.parquet")


def test_a_small_file_of_many_pairs_is_refused(tmp_path, small_limit, images):
    write_expanding(tmp_path / "pairs.parquet")
    with pytest.raises(InputError, match=r"rows would take .* GB of memory"):
        read_pairs(tmp_path / "pairs.parquet", images)


@pytest.mark.parametrize("large", ["path", "embedding"])
def test_a_small_file_of_many_embeddings_is_refused(tmp_path, small_limit, large):
    path = tmp_path / "e.parquet"
    if large == "path":
        write_expanding(path, embedding=pa.array([[1.0]] * 2000, pa.list_(pa.float32())))
    else:
        vectors = pa.ListArray.from_arrays(np.arange(0, 4_000_001, 2000, np.int32), np.zeros(4_000_000, np.float32))
        header = {b"auxface": b'{"kind": "embeddings", "width": 2000}'}
        pq.write_table(pa.table({"path": ["a"] * 2000, "embedding": vectors}).replace_schema_metadata(header), path)
        assert path.stat().st_size < 50_000
    with pytest.raises(InputError, match=r"rows would take .* GB of memory"):
        read_embeddings(path)


def test_lists_in_a_table_of_images_are_not_read(tmp_path):
    pq.write_table(pa.table({"path": ["1.png"], "age": [3], "vector": [[1, 2]]}), tmp_path / "list.parquet")
    assert read_text_table(tmp_path / "list.parquet").to_dict("list") == {"path": ["1.png"], "age": ["3"]}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", r"list\.jsonl: line 3: not valid JSON"),
        ("[" * 100_000, r"list\.jsonl: line 3: not valid JSON"),
        ('["2.png"]', r"list\.jsonl: line 3: list \[\"2\.png\"\]; expected an object"),
    ],
)
def test_an_error_in_json_lines_names_the_line(tmp_path, line, message):
    (tmp_path / "list.jsonl").write_text('{"path": "1.png"}\n\n' + line + "\n")
    with pytest.raises(InputError, match=message):
        read_text_table(tmp_path / "list.jsonl")


def test_numbers_and_texts_of_json_lines_are_kept(tmp_path):
    rows = [{"path": "1\u2028.png", "age": 3, "known": True}, {"path": "2.png", "score": 0.5}]
    (tmp_path / "list.jsonl").write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows))
    found = read_text_table(tmp_path / "list.jsonl").to_dict("list")
    assert found["path"] == ["1\u2028.png", "2.png"]
    assert found["age"] == ["3", None]
    assert found["known"] == ["True", None]
    assert found["score"] == [None, "0.5"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path1,path2,same\na/1.png,b/1.png,0\na/1.png,c.png,0\n", "row 2: image 'c.png' is not in this split"),
        ("path1,path2,same\nb/1.png,b/2.png,1\n1.png,b/2.png,0\n", "row 2: image '1.png' matches 2 images"),
        ("path1,path2,same\na/1.png,b/1.png,0\na/1.png,b/2.png,2\n", "row 2 has same '2'; expected 0 or 1"),
        ("source_a,frame_a,source_b,frame_b,same\nA,1,B,1,0\nA,1,B,9,0\n", "row 2: .* has no image 9 of B"),
        ("source_a,frame_a,source_b,frame_b,same\nA,1,B,1,0\nA,x,B,1,0\n", "row 2 has frame_a 'x'; expected an int"),
    ],
)
def test_an_error_in_pairs_names_the_row(tmp_path, images, text, message):
    (tmp_path / "pairs.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        read_pairs(tmp_path / "pairs.csv", images)


@pytest.mark.parametrize("wrong", ["B", "B 1", "B x 2", "../B 1 2", "B 1 A/.. 2"])
def test_an_error_in_the_pairs_of_lfw_names_the_line(tmp_path, images, wrong):
    (tmp_path / "pairs.txt").write_text(f"1 1\nB 1 2\n{wrong}\n")
    with pytest.raises(InputError, match=f"line 3 is '{wrong}'; expected a first line"):
        read_pairs(tmp_path / "pairs.txt", images)
