import pytest
import torch
from accelerate import Accelerator

from auxface.training.logging import RunLogs, RunningMeans, read_entries


def logs(folder, after_step=0):
    return RunLogs(folder, after_step, tensorboard=False, is_main=True)


def test_a_resumed_log_drops_later_and_corrupt_lines(tmp_path):
    kept, later = '{"epoch": 1, "step": 10, "loss": 0.1}', '{"epoch": 2, "step": 20}'
    (tmp_path / "log.jsonl").write_bytes(f"{kept}\n{later}{kept}\n[1]\n{later}\n".encode() + b'\xff\n{"epoch": 3')
    with pytest.warns(UserWarning, match="3 of 5 lines are corrupt"), logs(tmp_path, after_step=10) as log:
        log.epoch(2, 20, loss=0.05)
    assert read_entries(tmp_path / "log.jsonl") == [
        {"epoch": 1, "step": 10, "loss": 0.1},
        {"epoch": 2, "step": 20, "loss": 0.05},
    ]


def test_one_step_with_a_tiny_task_gradient_does_not_set_the_mean_ratio():
    means = RunningMeans()
    for ratio in (0.5, 2.0, 0.1, 10.0):
        means.add({"texture.gradient_ratio": torch.tensor(ratio), "texture.cosine": torch.tensor(ratio)})
    found = means.compute(Accelerator(cpu=True))
    assert found == pytest.approx({"texture.gradient_ratio": 1.0, "texture.cosine": 3.15})


def test_a_gradient_of_zero_counts_as_a_negligible_ratio():
    means = RunningMeans()
    for ratio in (0.0, 1.0):
        means.add({"texture.gradient_ratio": torch.tensor(ratio)})
    assert means.compute(Accelerator(cpu=True))["texture.gradient_ratio"] == pytest.approx(0.01)
