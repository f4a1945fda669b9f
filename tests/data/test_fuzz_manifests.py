"""Manifests and lists of random structure: read, inspected and prepared for training, or refused with one sentence."""

import datetime
import json
import math

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import strategies as st
from PIL import Image

from auxface.data.layouts import get_layout, resolve_options
from auxface.data.manifest import Manifest, read_manifest, write_manifest
from auxface.data.show import inspect_manifest
from auxface.errors import InputError
from auxface.recipe import load_recipe
from auxface.training.tasks import label_tensors, tasks_for
from generated_inputs import try_inputs

CELLS = (
    None, "", "a.png", "b.png", "train", "val", "test", "f", "m", "F ", 0, 1, -1, 2, 0.0, 1.0, 0.5, True, False, 10**18,
    2**53 + 1, math.nan, math.inf, -math.inf, 1e308, b"a.png", b"\xff", datetime.date(2001, 1, 1), ["a"], [0, 1], [],
    {"a": 1}, "\x00", "\ud7ff", "=1+1", "../../x.png", "x" * 300, "[/b]", "$x$", "NA", "nan", "1", "0", " f",
)  # fmt: skip
TYPES = (
    None, pa.dictionary(pa.int8(), pa.string()), pa.large_string(), pa.string(), pa.binary(), pa.float32(),
    pa.int8(), pa.uint64(), pa.bool_(), pa.list_(pa.string()), pa.null(), pa.decimal128(5, 2), pa.timestamp("s"),
    pa.dictionary(pa.int32(), pa.int64()), pa.struct([("a", pa.int64())]), pa.date32(), pa.duration("s"),
)  # fmt: skip
GOOD = {
    "path": ["a.png", "b.png", "a.png", "b.png"], "split": ["train", "train", "val", "test"], "dataset": ["d"] * 4,
    "source": ["1", "2", "3", "4"], "video": [""] * 4, "frame": [0, 0, 0, 0], "method": [""] * 4,
    "sex": ["f", "m", "f", "m"], "forged": [0, 1, 1, 0], "age": [1.0, 2.0, 3.5, None], "who": ["x", "y", "x", None],
    "smile": [1, 0, None, 1], "hat": [0, 0, 1, 1], "race": ["u", "v", "u", None],
}  # fmt: skip
LABELS = {
    "sex": {"kind": "class", "classes": ["f", "m"]},
    "forged": {"kind": "binary", "classes": ["real", "fake"]},
    "age": {"kind": "ordinal"},
    "who": {"kind": "identity"},
    "attributes": {"kind": "multilabel", "classes": ["smile", "hat"]},
}
KINDS = ("class", "binary", "multilabel", "ordinal", "identity", "other", 3, None, ["class"])
CLASSES = (
    [],
    ["f"],
    ["f", "m"],
    ["f", "m", "x"],
    "fm",
    5,
    [1, 2],
    [["f"]],
    {"f": 1},
    [""],
    ["f", "f"],
    [None],
    ["sex"],
)
wild = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@st.composite
def headers(draw):
    labels = {}
    for name in draw(st.lists(st.sampled_from(tuple(LABELS)), max_size=5, unique=True)):
        labels[name] = {**LABELS[name]}
        if draw(st.integers(0, 3)) == 0:
            labels[name]["kind"] = draw(st.sampled_from(KINDS))
        if draw(st.integers(0, 2)) == 0:
            labels[name]["classes"] = draw(st.sampled_from(CLASSES))
    groups = draw(st.lists(st.sampled_from(("race", "sex", "age", "who", "forged", "absent", "path", 3)), max_size=2))
    header = {"version": 1, "labels": labels, "groups": groups, "crop": None}
    if draw(st.integers(0, 3)) == 0:
        header[draw(st.sampled_from(tuple(header)))] = draw(wild)
    return header


@st.composite
def tables(draw):
    """Draw a good table with some changed cells, and types of its columns."""
    columns = {name: list(cells) for name, cells in GOOD.items()}
    for _ in range(draw(st.integers(0, 3))):
        name = draw(st.sampled_from(tuple(columns)))
        change = draw(st.sampled_from(["cell", "constant", "drop"]))
        if change == "cell":
            columns[name][draw(st.integers(0, 3))] = draw(st.sampled_from(CELLS))
        elif change == "constant":
            columns[name] = [draw(st.sampled_from(CELLS))] * 4
        elif len(columns) > 10:
            del columns[name]
    chosen = draw(st.dictionaries(st.sampled_from(tuple(columns)), st.sampled_from(TYPES), max_size=2))
    return columns, chosen


def arrow_table(columns, types):
    made = {}
    for name, cells in columns.items():
        for kind in (types.get(name), None, pa.string()):
            try:
                texts = [None if cell is None else str(cell) for cell in cells] if kind == pa.string() else cells
                made[name] = pa.array(texts, type=kind)
                break
            except (pa.ArrowException, ValueError, TypeError, OverflowError):
                continue
    return pa.table(made)


def expect_one_sentence(call):
    """Call a reader; anything but a result or an ``InputError`` of one sentence is a fault."""
    try:
        return call()
    except InputError as refusal:
        text = str(refusal)
        assert text.strip()
        assert "\n" not in text
        assert len(text) < 1500, text
    return None


def use(path, folder):
    manifest = read_manifest(path)
    assert len(manifest.hash) == 64
    facts = inspect_manifest(manifest).to_dict()
    json.dumps(facts, allow_nan=False)
    write_manifest(manifest, folder / "again.parquet")
    assert read_manifest(folder / "again.parquet").hash == manifest.hash
    return manifest


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("AUXFACE_CACHE", str(tmp_path / "cache"))
    for number, name in enumerate(("a.png", "b.png")):
        image = np.random.default_rng(number).integers(0, 256, (24, 24, 3), np.uint8)
        Image.fromarray(image).save(tmp_path / name)
    return tmp_path


def check_manifests(folder, examples):
    recipes = [
        load_recipe("supervised", overrides) for overrides in ((), ("tasks=[age]",), ("primary=metric_learning",))
    ]

    def case(drawn):
        (columns, types), header, as_csv = drawn
        if as_csv:
            path = folder / "m.csv"
            pd.DataFrame({name: [str(c) if isinstance(c, (bytes, list, dict)) else c for c in cells]
                          for name, cells in columns.items()}).to_csv(path, index=False)  # fmt: skip
            (folder / "m.json").write_text(json.dumps(header))
        else:
            path = folder / "m.parquet"
            made = arrow_table(columns, types)
            pq.write_table(made.replace_schema_metadata({b"auxface": json.dumps(header).encode()}), path)
        manifest = expect_one_sentence(lambda: use(path, folder))
        if manifest is not None:
            for recipe in recipes:
                expect_one_sentence(lambda recipe=recipe: learn(recipe, manifest))

    def learn(recipe, manifest: Manifest):
        label_tensors(manifest.only("train"), tasks_for(recipe, manifest))

    try_inputs(case, st.tuples(tables(), headers(), st.booleans()), examples)


def check_lists(folder, examples):
    """Lists of layout ``table``, with label specifications of any form."""
    layout = get_layout("table")
    names = st.sampled_from(("sex", "forged", "age", "who", "smile", "absent", "", "path"))
    kinds = st.sampled_from(("", ":class", ":binary", ":ordinal", ":identity", ":multilabel", ":x", ":"))
    classes = st.sampled_from(("", "=f,m", "=f", "=smile,hat", "=,", "=f,f", "=real,fake", "=0,1,2"))
    specs = st.lists(st.tuples(names, kinds, classes).map("".join), max_size=3)
    columns_of = st.dictionaries(st.sampled_from(("source", "video", "frame", "method", "split")), names, max_size=2)

    def case(drawn):
        (columns, types), label, group, suffix, options = drawn
        path = folder / f"list.{suffix}"
        made = arrow_table(columns, types)
        if suffix == "parquet":
            pq.write_table(made, path)
        elif suffix == "csv":
            made.to_pandas().to_csv(path, index=False)
        else:
            path.write_text("\n".join(json.dumps(row, default=str) for row in made.to_pylist()))
        values = resolve_options(layout, {"label": label, "group": group, **options})
        expect_one_sentence(lambda: layout.read(path, **values))

    groups = st.lists(names, max_size=1)
    suffixes = st.sampled_from(("csv", "parquet", "jsonl"))
    try_inputs(case, st.tuples(tables(), specs, groups, suffixes, columns_of), examples)


@pytest.mark.filterwarnings("ignore")
def test_manifests_of_any_structure_are_used_or_refused(folder):
    check_manifests(folder, 60)


def test_lists_of_any_structure_are_read_or_refused(folder):
    check_lists(folder, 100)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.filterwarnings("ignore")
def test_1000_manifests_of_any_structure(folder):
    check_manifests(folder, 1000)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_2000_lists_of_any_structure(folder):
    check_lists(folder, 2000)
