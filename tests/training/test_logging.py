import pytest

from auxface.training.logging import RunLogs, read_entries


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
