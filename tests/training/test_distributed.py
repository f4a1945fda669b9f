import os
from types import SimpleNamespace

import pytest

from auxface.errors import InputError
from auxface.model import JointModel
from auxface.objectives import LearnedTask
from auxface.recipe import load_recipe
from auxface.training.distributed import make_accelerator
from auxface.training.fsdp import check_fsdp_options, unsharded_copy, uses_fsdp

TASK = LearnedTask("shade", "class", ("dark", "light"))
SMALL = ("encoder.image_size=32", "encoder.width=32", "encoder.depth=1", "encoder.heads=2")


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
        ("ACCELERATE_USE_PARALLELISM_CONFIG", "true", "parallelism_config"),
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
    with pytest.raises(InputError, match=r"fp16 requires a GPU.*bf16, fp32 or auto"):
        make_accelerator(load_recipe("l_ssat", ["train.precision=fp16"]), "cpu")
    check_fsdp_options("fp16")
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(InputError, match="fp16 is not supported with FSDP"):
        check_fsdp_options("fp16")


def test_a_model_to_be_sharded_measures_no_gradient_ratios(monkeypatch):
    model = JointModel(load_recipe("l_ssat", [*SMALL, "balance=0.1"]), [TASK])
    accelerator = SimpleNamespace(num_processes=2)
    assert unsharded_copy(model, accelerator) is None
    assert model.gradient_meter is not None
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    copy = unsharded_copy(model, accelerator)
    assert copy is not None
    assert copy.gradient_meter is model.gradient_meter is None
    assert copy.state_dict().keys() == model.state_dict().keys()


def test_a_gradient_balance_is_refused_with_fsdp(monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    model = JointModel(load_recipe("l_ssat", [*SMALL, "balance.kind=gradient"]), [TASK])
    with pytest.raises(InputError, match="with FSDP, use fixed or learned"):
        unsharded_copy(model, SimpleNamespace(num_processes=2))
