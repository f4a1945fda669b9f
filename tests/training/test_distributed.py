import os
from types import SimpleNamespace

import pytest

from auxface.errors import InputError
from auxface.model import JointModel
from auxface.objectives import LearnedTask
from auxface.recipe import load_recipe
from auxface.training.checkpoint import RunRecord, write_record
from auxface.training.distributed import make_accelerator, sole_training
from auxface.training.fsdp import check_fsdp_options, unsharded_copy, uses_fsdp
from auxface.training.train import resume, train

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


def test_two_runs_cannot_train_in_one_folder(tmp_path):
    folder = tmp_path / "runs" / "a"
    with sole_training(folder):
        with pytest.raises(InputError, match="another process is training in this folder"), sole_training(folder):
            pass
        # The manifest and the images are not read.
        with pytest.raises(InputError, match="another process is training in this folder"):
            train("supervised", "missing.parquet", folder)
        write_record(folder, RunRecord("missing.parquet", "", {}))
        with pytest.raises(InputError, match="another process is training in this folder"):
            resume(folder)
    with sole_training(folder):
        pass


def test_a_run_that_fails_leaves_no_folder(tmp_path):
    with pytest.raises(InputError, match=r"missing\.parquet"):
        train("supervised", tmp_path / "missing.parquet", tmp_path / "runs" / "a")
    assert list(tmp_path.iterdir()) == []


def test_only_the_first_process_of_a_run_locks_its_folder(tmp_path, monkeypatch):
    with sole_training(tmp_path):
        monkeypatch.setenv("RANK", "1")
        with sole_training(tmp_path):
            pass
