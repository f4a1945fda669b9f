"""The choice of a device, with torch's answers about this machine replaced."""

import pytest
import torch

from auxface import device as device_module
from auxface.device import check_device, peak_memory, resolve_device
from auxface.errors import InputError
from auxface.inference.predictor import TorchScorer
from auxface.recipe import load_recipe
from auxface.training.distributed import make_accelerator


@pytest.fixture
def machine(monkeypatch):
    """Makes torch report a machine with these devices."""

    def has(*kinds):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: "cuda" in kinds)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: "mps" in kinds)

    return has


@pytest.mark.parametrize(
    ("kinds", "expected"), [((), "cpu"), (("mps",), "mps"), (("cuda",), "cuda"), (("cuda", "mps"), "cuda")]
)
def test_auto_is_the_fastest_device_of_the_machine(machine, kinds, expected):
    machine(*kinds)
    assert resolve_device("auto") == expected
    assert resolve_device("cpu") == "cpu"


def test_a_missing_device_is_refused(machine):
    machine("mps")
    for device in ("auto", "cpu", "mps"):
        check_device(device)
    with pytest.raises(InputError, match=r"--device cuda: torch finds no such device.*--device auto"):
        check_device("cuda")
    with pytest.raises(InputError, match="must be auto, cpu, cuda or mps; found 'tpu'"):
        check_device("tpu")


class Recorded:
    """A saved model that records the device to which it is moved."""

    def __init__(self):
        self.model = self
        self.config = self.recipe = self.encoder = self
        self.image_size = 64

    def to(self, device):
        self.device = str(device)
        return self

    def eval(self):
        return self


def test_apple_machines_predict_on_the_apple_gpu(machine):
    machine("mps")
    assert TorchScorer(Recorded()).model.device == "mps"
    machine()
    assert TorchScorer(Recorded()).model.device == "cpu"


def test_training_and_inference_agree_on_the_device(machine):
    machine()
    assert make_accelerator(load_recipe("l_ssat")).device.type == TorchScorer(Recorded()).model.device


def test_peak_memory_of_a_cpu_process_is_resident_memory():
    before = peak_memory(torch.device("cpu"))
    block = bytearray(2**27)
    block[::4096] = b"x" * len(block[::4096])
    assert peak_memory(torch.device("cpu")) >= max(before, 2**27)


@pytest.mark.parametrize(("used", "cores"), [(0.0, 1), (100.0, 4)])
def test_free_cores_are_those_that_a_load_gets(monkeypatch, used, cores):
    monkeypatch.setattr(device_module.os, "sched_getaffinity", lambda process: {0, 1, 2, 3}, raising=False)
    times = iter([0.0, used])
    monkeypatch.setattr(device_module.time, "process_time", lambda: next(times))
    assert device_module.free_cores() == cores
