"""A contrast shared by two processes is the contrast of one with the same images."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from auxface.objectives.contrast.cluster_contrast import broadcast_first, gather_rows

SCRIPT = Path(__file__).with_name("contrast_process.py")
_spec = importlib.util.spec_from_file_location("contrast_process", SCRIPT)
script = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(script)


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("contrast")
    started = [
        subprocess.Popen(
            [sys.executable, str(SCRIPT), str(folder), str(rank), "2"],
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    for process in started:
        _, said = process.communicate(timeout=240)
        assert process.returncode == 0, said
    return folder


@pytest.mark.parametrize("loss", script.LOSSES)
def test_two_processes_have_the_loss_and_the_gradient_of_one(two_processes, loss):
    one, two = script.take_steps(loss, 0, 1), load_file(two_processes / f"{loss}.safetensors")
    assert {name for name in one if name.startswith("0 ")} <= set(two)
    assert any(("projector" in name or "head" in name) and value.abs().max() > 1e-4 for name, value in one.items())
    for name, value in one.items():
        torch.testing.assert_close(two.get(name, torch.zeros_like(value)), value, rtol=1e-4, atol=1e-6, msg=name)


def test_a_single_process_keeps_its_rows():
    rows = torch.randn(3, 2)
    assert gather_rows(rows) is rows
    assert broadcast_first(rows) is rows
