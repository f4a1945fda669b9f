import pytest

from auxface.errors import InputError
from auxface.training.logging import RunLogs, check_not_training, read_entries, read_log


def logs(folder, after_step=0):
    return RunLogs(folder, after_step, tensorboard=False, is_main=True)


def test_two_processes_cannot_train_in_one_folder(tmp_path):
    check_not_training(tmp_path)
    with logs(tmp_path) as first:
        first.epoch(1, 10, loss=0.5)
        with pytest.raises(InputError, match="another process is training in this folder"):
            check_not_training(tmp_path)
        with pytest.raises(InputError, match="another process is training in this folder"):
            logs(tmp_path)
    check_not_training(tmp_path)
    assert read_log(tmp_path / "log.jsonl").to_dict("records") == [{"epoch": 1, "step": 10, "loss": 0.5}]


def test_a_resumed_log_drops_later_and_corrupt_lines(tmp_path):
    kept, later = '{"epoch": 1, "step": 10, "loss": 0.1}', '{"epoch": 2, "step": 20}'
    (tmp_path / "log.jsonl").write_bytes(f"{kept}\n{later}{kept}\n[1]\n{later}\n".encode() + b'\xff\n{"epoch": 3')
    with pytest.warns(UserWarning, match="3 of 5 lines are corrupt"), logs(tmp_path, after_step=10) as log:
        log.epoch(2, 20, loss=0.05)
    assert read_entries(tmp_path / "log.jsonl") == [
        {"epoch": 1, "step": 10, "loss": 0.1},
        {"epoch": 2, "step": 20, "loss": 0.05},
    ]
