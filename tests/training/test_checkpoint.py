import pytest
import torch
from safetensors import SafetensorError
from torch import nn

import auxface.model.directory as module
from auxface.errors import InputError
from auxface.training.checkpoint import (
    RunState,
    load_checkpoint,
    load_optimizer_tensors,
    newest_checkpoint,
    optimizer_tensors,
    save_checkpoint,
)
from auxface.training.run_errors import readable_errors


def tensors(value):
    return {"model": {"weight": torch.full((4,), float(value))}}


def test_the_two_newest_are_kept_and_the_newest_is_loaded(tmp_path):
    for step in (5, 10, 15):
        save_checkpoint(tmp_path, tensors(step), RunState(step=step, sums={"loss": 0.1}))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000000010", "000000015"]
    state, loaded = load_checkpoint(tmp_path, lambda tensors: None)
    assert (state.step, state.sums) == (15, {"loss": 0.1})
    assert torch.equal(loaded["model"]["weight"], torch.full((4,), 15.0))


def test_a_corrupt_checkpoint_is_skipped_with_a_warning(tmp_path):
    save_checkpoint(tmp_path, tensors(5), RunState(step=5))
    newest = save_checkpoint(tmp_path, tensors(10), RunState(step=10))
    weights = newest / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-5])
    with pytest.warns(UserWarning, match="corrupt checkpoint; resuming from .*000000005"):
        state, _ = load_checkpoint(tmp_path, lambda tensors: None)
    assert state.step == 5


def test_a_failed_write_keeps_the_previous_checkpoint(tmp_path, monkeypatch):
    save_checkpoint(tmp_path / "checkpoint", tensors(5), RunState(step=5))

    def full(tensors, path):
        path.write_bytes(b"a part")
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(module.safetensors.torch, "save_file", full)
    message = r"no space left on the disk; the checkpoint .*000000005 is complete.*--resume"
    with pytest.raises(InputError, match=message), readable_errors(tmp_path, 16, 1):
        save_checkpoint(tmp_path / "checkpoint", tensors(10), RunState(step=10))
    assert [path.name for path in (tmp_path / "checkpoint").iterdir()] == ["000000005"]
    assert newest_checkpoint(tmp_path / "checkpoint").name == "000000005"


def test_a_users_file_in_a_checkpoint_folder_is_kept(tmp_path):
    save_checkpoint(tmp_path, tensors(5), RunState(step=5))
    (tmp_path / "000000005" / "notes.txt").write_text("mine")
    for step in (10, 5, 15, 20):
        save_checkpoint(tmp_path, tensors(step), RunState(step=step))
    assert [path.name for path in (tmp_path / "000000005").iterdir()] == ["notes.txt"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000000005", "000000015", "000000020"]


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    save_checkpoint(tmp_path, tensors(5), RunState(step=5))
    model = nn.Linear(3, 2)
    with pytest.raises(InputError, match="no checkpoint from which this run can be resumed"):
        load_checkpoint(tmp_path, lambda tensors: model.load_state_dict(tensors["model"]) and None)


def test_optimizer_state_is_restored_by_parameter_name():
    models = [nn.Linear(3, 2), nn.Linear(3, 2)]
    optimizers = [torch.optim.AdamW(model.parameters(), lr=0.1) for model in models]
    models[0](torch.ones(1, 3)).sum().backward()
    optimizers[0].step()
    saved = optimizer_tensors(models[0], optimizers[0])
    load_optimizer_tensors(models[1], optimizers[1], saved)
    again = optimizer_tensors(models[1], optimizers[1])
    assert saved.keys() == again.keys()
    assert all(torch.equal(saved[key], again[key]) for key in saved)


def test_an_out_of_memory_error_names_the_settings_to_change(tmp_path):
    message = r"batch_size 64 and train.accumulate 2; set train.accumulate=4"
    with pytest.raises(InputError, match=message), readable_errors(tmp_path, 64, 2):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
    with pytest.raises(RuntimeError, match="shapes"), readable_errors(tmp_path, 64, 2):
        raise RuntimeError("shapes do not fit")


def test_moments_are_loaded_in_the_weights_memory_format():
    """The fused step reads weights and moments in the order of memory."""
    torch.manual_seed(0)
    images = torch.randn(2, 3, 8, 8)

    def made():
        torch.manual_seed(1)
        model = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
        return model, torch.optim.AdamW(model.parameters(), lr=0.1, fused=True)

    def step(model, optimizer):
        model(images).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()

    model, optimizer = made()
    step(model, optimizer)
    saved = {
        name: value.clone(memory_format=torch.contiguous_format)
        for name, value in optimizer_tensors(model, optimizer).items()
    }
    resumed, second = made()
    resumed.load_state_dict(model.state_dict())
    load_optimizer_tensors(resumed, second, saved)
    step(model, optimizer)
    step(resumed, second)
    assert torch.equal(model.weight, resumed.weight)
