"""Model directories that somebody made to do harm, or that were damaged on the way."""

import json
import struct

import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from auxface.errors import InputError
from auxface.model import JointModel
from auxface.model.saved_model import load_model
from auxface.objectives import LearnedTask
from auxface.recipe import Encoder, Recipe, ReconstructionOptions


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    recipe = Recipe(
        auxiliary=ReconstructionOptions(decoder_width=16, decoder_depth=1, decoder_heads=4),
        encoder=Encoder(image_size=16, patch_size=8, width=16, depth=1, heads=4),
    )
    folder = tmp_path_factory.mktemp("stranger") / "model"
    JointModel(recipe, [LearnedTask("mood", "class", ("x", "y"))]).save_pretrained(folder)
    return folder


@pytest.fixture
def folder(original, tmp_path):
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((original / name).read_bytes())
    return tmp_path


def places(value, path=()):
    """Every path in a JSON document."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*path, key))


def loads_or_is_refused(folder):
    """Any other error than the one sentence fails the test."""
    try:
        load_model(folder)
    except InputError as error:
        sentence = str(error)
    else:
        return
    assert str(folder) in sentence


ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.floats(),
    st.sampled_from(
        ["", "../../etc/passwd", "hf-hub:a/b", "local-dir:/etc", "vit_giant_patch14_224", "a" * 10_000, "\x00"]
    ),
    st.lists(st.integers(), max_size=3),
    st.dictionaries(st.text(max_size=4), st.integers(), max_size=3),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_mutated_configuration_loads_or_is_refused(original, tmp_path_factory, data):
    config = json.loads((original / "config.json").read_text())
    path = data.draw(st.sampled_from([place for place in places(config) if place]))
    inside = config
    for key in path[:-1]:
        inside = inside[key]
    inside[path[-1]] = data.draw(ODD)
    folder = tmp_path_factory.mktemp("mutated")
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").write_bytes((original / "model.safetensors").read_bytes())
    loads_or_is_refused(folder)


@settings(max_examples=150, deadline=None)
@given(place=st.integers(0, 4000), byte=st.integers(0, 255), cut=st.integers(0, 40))
def test_mutated_weights_load_or_are_refused(original, tmp_path_factory, place, byte, cut):
    data = bytearray((original / "model.safetensors").read_bytes())
    data[place] = byte
    folder = tmp_path_factory.mktemp("mutated")
    (folder / "config.json").write_bytes((original / "config.json").read_bytes())
    (folder / "model.safetensors").write_bytes(bytes(data[: len(data) - cut]))
    loads_or_is_refused(folder)


def weights_of(folder):
    return safetensors.torch.load_file(folder / "model.safetensors")


def test_weights_of_wrong_shape_dtype_or_value_are_refused(folder):
    first = weights_of(folder)
    name = next(name for name, value in first.items() if value.ndim == 2)
    for changed, sentence in (
        (first[name][:1], "do not match"),
        (first[name].to(torch.int64), "has type"),
        (first[name] * float("nan"), "NaN or infinite"),
    ):
        safetensors.torch.save_file(first | {name: changed.contiguous()}, folder / "model.safetensors")
        with pytest.raises(InputError, match=sentence):
            load_model(folder)
    safetensors.torch.save_file({k: v.half() for k, v in first.items()}, folder / "model.safetensors")
    assert load_model(folder).config.tasks[0].name == "mood"


@pytest.mark.parametrize("length", [2**63, 2**32, 90_000_000, 0])
def test_a_header_that_claims_too_much_is_refused(folder, length):
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", length) + b"{}")
    with pytest.raises(InputError, match=r"model\.safetensors"):
        load_model(folder)


def test_a_configuration_cannot_request_more_than_its_weights(folder, monkeypatch):
    config = json.loads((folder / "config.json").read_text())
    config["recipe"]["encoder"] |= {"name": "vit_giant_patch14_224", "width": 8192, "depth": 128, "heads": 64}
    (folder / "config.json").write_text(json.dumps(config))
    real = []
    monkeypatch.setattr(JointModel, "load_state_dict", lambda *_: real.append(1))
    with pytest.raises(InputError, match=r"do not match|cannot be built"):
        load_model(folder)
    assert not real


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_only_links_within_the_model_or_hub_cache_are_read(folder, original, tmp_path, name):
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    outside.write_bytes((folder / name).read_bytes())
    (folder / name).unlink()
    (folder / name).symlink_to(outside)
    with pytest.raises(InputError, match="outside the model directory"):
        load_model(folder)
    snapshot = tmp_path / "models--a--b" / "snapshots" / "abc"
    (tmp_path / "models--a--b" / "blobs").mkdir(parents=True)
    snapshot.mkdir(parents=True)
    for number, each in enumerate(("config.json", "model.safetensors")):
        blob = tmp_path / "models--a--b" / "blobs" / str(number)
        blob.write_bytes((original / each).read_bytes())
        (snapshot / each).symlink_to(blob)
    load_model(snapshot)
