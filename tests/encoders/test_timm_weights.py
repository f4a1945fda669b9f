"""Pretrained weights without a network: loaded from the cache, or an error at once."""

import urllib.error
import urllib.request

import pytest
import timm
import torch
from huggingface_hub import constants
from safetensors.torch import save_file

from auxface.encoders import build_encoder
from auxface.encoders.pretrained import timm_weights
from auxface.errors import InputError
from auxface.recipe import Encoder

NAME = "test_vit.r160_in1k"
OPTIONS = Encoder(name=NAME, image_size=160, pretrained=True, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


@pytest.fixture
def cache(monkeypatch, tmp_path):
    """An empty cache, and a network on which every connection fails."""

    def fail(request, timeout):
        assert timeout <= 10
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr(urllib.request, "urlopen", fail)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    return tmp_path


def test_without_cache_and_network_no_download_is_tried(cache, monkeypatch):
    monkeypatch.setattr(timm, "create_model", lambda *arguments, **given: pytest.fail("a download was tried"))
    with pytest.raises(InputError, match=r"are not on this machine.*Name or service not known.*pretrained=false"):
        build_encoder(OPTIONS)


def test_an_offline_setting_is_named_in_the_error(cache, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match="HF_HUB_OFFLINE is set"):
        build_encoder(OPTIONS)


def test_weights_in_the_cache_are_loaded_without_network(cache):
    torch.manual_seed(3)
    weights = timm.create_model(NAME, pretrained=False).state_dict()
    repository = cache / ("models--" + timm.get_pretrained_cfg(NAME).hf_hub_id.replace("/", "--"))
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0" * 40)
    (repository / "snapshots" / ("0" * 40)).mkdir(parents=True)
    save_file(weights, repository / "snapshots" / ("0" * 40) / "model.safetensors")
    encoder = build_encoder(OPTIONS)
    assert torch.equal(encoder.vit.blocks[0].attn.qkv.weight, weights["blocks.0.attn.qkv.weight"])


def test_a_server_with_any_status_is_reachable(cache, monkeypatch):
    def forbid(request, timeout):
        raise urllib.error.HTTPError(request.full_url, 403, "Forbidden", None, None)

    monkeypatch.setattr(urllib.request, "urlopen", forbid)
    assert timm_weights(NAME) is None


def test_a_model_without_published_weights_is_an_error(cache):
    with pytest.raises(InputError, match="could not be loaded"):
        build_encoder(Encoder(name="levit_256d", image_size=224, pretrained=True))


def test_a_failed_build_without_weights_does_not_blame_weights(monkeypatch):
    def fail(*arguments, **given):
        raise RuntimeError("no such operator")

    monkeypatch.setattr(timm, "create_model", fail)
    with pytest.raises(InputError, match=f"encoder '{NAME}' could not be built .no such operator."):
        build_encoder(OPTIONS.model_copy(update={"pretrained": False}))
