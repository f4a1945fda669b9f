import os

import pytest

from auxface.errors import InputError
from auxface.recipe import load_recipe
from auxface.training.distributed import make_accelerator
from auxface.training.fsdp import check_fsdp_options, uses_fsdp


@pytest.mark.parametrize("kind", ["DEEPSPEED", "MEGATRON_LM"])
def test_deepspeed_and_megatron_are_refused(monkeypatch, kind):
    monkeypatch.setenv(f"ACCELERATE_USE_{kind}", "true")
    with pytest.raises(InputError, match=f"{kind}.*distributed_type: FSDP.*MULTI_GPU"):
        make_accelerator(load_recipe("l_ssat"), "cpu")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("FSDP_VERSION", "1", "set fsdp_version: 2"),
        ("FSDP_OFFLOAD_PARAMS", "true", "fsdp_offload_params"),
        ("FSDP_ACTIVATION_CHECKPOINTING", "true", "train.checkpoint_activations"),
        ("ACCELERATE_USE_PARALLELIZM_CONFIG", "true", "parallelizm_config"),
    ],
)
def test_fsdp_settings_without_effect_are_refused(monkeypatch, name, value, message):
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=message):
        make_accelerator(load_recipe("l_ssat"), "cpu")


def test_a_single_process_does_not_shard_its_weights(monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    assert not uses_fsdp(make_accelerator(load_recipe("l_ssat"), "cpu"))
    assert os.environ["ACCELERATE_USE_FSDP"] == "true"


def test_fp16_is_refused_on_cpu_and_with_fsdp(monkeypatch):
    with pytest.raises(InputError, match=r"fp16 needs a GPU.*bf16, fp32 or auto"):
        make_accelerator(load_recipe("l_ssat", ["train.precision=fp16"]), "cpu")
    check_fsdp_options("fp16")
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(InputError, match="fp16 does not work with FSDP"):
        check_fsdp_options("fp16")
