"""Runs in new processes: killed and resumed, on two processes, with sharded weights."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

SCRIPT = str(Path(__file__).with_name("small_run.py"))
ALONE = [sys.executable]
FSDP = {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2"}
TWO = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
CLIPPED = ("clip_norm=0.5", "layer_decay=0.8")
GROUPS = ("epochs=1", "group_dro=0.5")
TEACHER = ("epochs=1", "teacher=1")
MIXED = ("epochs=2", "labeled_per_batch=0.75")
BALANCED = ("epochs=2", "balance=gradient")
FILES = ("model", "optimizer", "average", "best")


def start(folder, *arguments, launcher=ALONE, variables=()):
    environment = os.environ | {"OMP_NUM_THREADS": "1"} | dict(variables)
    command = [*launcher, SCRIPT, str(folder), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)


def last(folder):
    return max((folder / "checkpoint").iterdir())


def differences(one, two):
    for name in FILES:
        first, second = (load_file(last(folder) / f"{name}.safetensors") for folder in (one, two))
        assert first.keys() == second.keys()
        yield max(float((first[key].double() - second[key].double()).abs().max()) for key in first)


def without_key_biases(folder, file="model"):
    """Return the weights without key biases, whose exact gradient is zero: Adam turns its rounding into full steps."""
    weights = load_file(last(folder) / f"{file}.safetensors")
    for name in [name for name in weights if name.endswith("qkv.bias")]:
        query, _, value = weights[name].chunk(3)
        weights[name] = torch.cat([query, value])
    return weights


def epochs(folder):
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


def start_all(folder, launcher=ALONE):
    """Start runs with clipped gradients, group DRO, stochastic depth and other options, in the same processes."""
    groups, depth = ("then", str(folder / "groups"), *GROUPS), ("then", str(folder / "depth"), "drop_path=0.2")
    teacher, mixed = ("then", str(folder / "teacher"), *TEACHER), ("then", str(folder / "mixed"), *MIXED)
    balanced = ("then", str(folder / "balanced"), *BALANCED)
    folder.mkdir()
    done = start(folder / "clipped", *CLIPPED, *groups, *depth, *teacher, *mixed, *balanced, launcher=launcher)
    assert done.returncode == 0, done.stderr
    return folder


# A new process spends most of its time on imports, so all tests share two launches.
@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    return start_all(tmp_path_factory.mktemp("processes") / "alone")


@pytest.fixture(scope="module")
def one(alone):
    return alone / "clipped"


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    return start_all(tmp_path_factory.mktemp("processes") / "two", TWO)


def test_a_killed_run_resumes_to_identical_weights(tmp_path, alone):
    arguments = ("checkpoint_every=5", "drop_path=0.2")
    killed = start(tmp_path / "broken", *arguments, "kill_at=7")
    assert killed.returncode == -signal.SIGKILL
    assert last(tmp_path / "broken").name == "000000005"
    assert start(tmp_path / "broken", *arguments).returncode == 0
    assert last(tmp_path / "broken").name == last(alone / "depth").name == "000000012"
    assert list(differences(alone / "depth", tmp_path / "broken")) == [0, 0, 0, 0]
    assert epochs(alone / "depth") == epochs(tmp_path / "broken")


def test_a_killed_run_with_a_label_ratio_resumes_exactly(tmp_path, alone):
    arguments = (*MIXED, "checkpoint_every=2")
    killed = start(tmp_path / "broken", *arguments, "kill_at=4")
    assert killed.returncode == -signal.SIGKILL
    assert last(tmp_path / "broken").name == "000000002"
    assert start(tmp_path / "broken", *arguments).returncode == 0
    assert list(differences(alone / "mixed", tmp_path / "broken")) == [0, 0, 0, 0]
    assert epochs(alone / "mixed") == epochs(tmp_path / "broken")


def test_a_killed_run_with_held_gradients_resumes_exactly(tmp_path, alone):
    arguments = (*BALANCED, "checkpoint_every=3")
    assert start(tmp_path / "broken", *arguments, "kill_at=5").returncode == -signal.SIGKILL
    assert start(tmp_path / "broken", *arguments).returncode == 0
    assert list(differences(alone / "balanced", tmp_path / "broken")) == [0, 0, 0, 0]
    assert epochs(alone / "balanced") == epochs(tmp_path / "broken")


def assert_equal_up_to_rounding(first, second):
    for file in ("model", "average", "best"):
        weights = [without_key_biases(folder, file) for folder in (first, second)]
        assert weights[0].keys() == weights[1].keys()
        assert all(torch.allclose(weights[0][name], weights[1][name], rtol=0, atol=1e-5) for name in weights[0])
    assert list(differences(first, second))[FILES.index("optimizer")] < 1e-5
    for full, sharded in zip(epochs(first), epochs(second), strict=True):
        # The ratios of gradients are not measured with sharded weights.
        assert {key: full[key] for key in sharded} == pytest.approx(sharded, abs=1e-5)


# 43 images in steps of 12: the last step of an epoch has 7, four for one process and three for the other.
def test_two_processes_take_the_steps_of_one(alone, two):
    assert_equal_up_to_rounding(alone / "clipped", two / "clipped")


def test_two_processes_keep_the_label_ratio(alone, two):
    assert_equal_up_to_rounding(alone / "mixed", two / "mixed")


def test_two_processes_hold_the_gradient_ratio_of_one(alone, two):
    assert_equal_up_to_rounding(alone / "balanced", two / "balanced")
    meters = [load_file(last(folder / "balanced") / "objectives.safetensors") for folder in (alone, two)]
    torch.testing.assert_close(meters[0]["gradient_meter"], meters[1]["gradient_meter"], rtol=1e-4, atol=0)
    assert epochs(alone / "balanced")[-1]["reconstruction.gradient_ratio"] > 0


def test_one_process_resumes_a_sharded_run_with_the_same_steps(tmp_path, one):
    arguments = (*CLIPPED, "checkpoint_every=5")
    broken = start(
        tmp_path / "two", *arguments, "kill_at=13", "kill_rank=1", "accumulate=2", launcher=TWO, variables=FSDP
    )
    assert "Signal 9" in broken.stderr, broken.stderr
    assert broken.stdout.split() == ["FSDPJointModel"]
    assert last(tmp_path / "two").name == "000000005"
    assert start(tmp_path / "two", *arguments).returncode == 0
    assert_equal_up_to_rounding(one, tmp_path / "two")


@pytest.mark.slow
def test_a_killed_sharded_run_resumes_to_identical_weights(tmp_path, one):
    arguments = (*CLIPPED, "checkpoint_every=5")
    uninterrupted = start(tmp_path / "uninterrupted", *arguments, launcher=TWO, variables=FSDP)
    assert uninterrupted.returncode == 0, uninterrupted.stderr
    killed = start(tmp_path / "broken", *arguments, "kill_at=7", "kill_rank=1", launcher=TWO, variables=FSDP)
    assert "Signal 9" in killed.stderr
    assert last(tmp_path / "broken").name == "000000005"
    assert start(tmp_path / "broken", *arguments, launcher=TWO, variables=FSDP).returncode == 0
    assert list(differences(tmp_path / "uninterrupted", tmp_path / "broken")) == [0, 0, 0, 0]
    assert_equal_up_to_rounding(one, tmp_path / "uninterrupted")


def test_two_processes_update_group_weights_as_one(alone, two):
    first, second = (load_file(last(folder / "groups") / "group_dro.safetensors") for folder in (alone, two))
    assert first["log_shares"].exp().std() > 0.01
    torch.testing.assert_close(first["log_shares"], second["log_shares"], rtol=0, atol=1e-5)
    first, second = (without_key_biases(folder / "groups") for folder in (alone, two))
    assert all(torch.allclose(first[name], second[name], rtol=0, atol=1e-5) for name in first)


def assert_same_teacher(first, second):
    states = [load_file(last(folder) / "objectives.safetensors") for folder in (first, second)]
    names = [name for name in states[0] if name.startswith("toy_teacher/") and not name.endswith("qkv.bias")]
    assert len(names) > 10
    for name in names:
        torch.testing.assert_close(states[0][name], states[1][name], rtol=0, atol=1e-5)


def test_two_processes_update_a_teacher_as_one_does(alone, two):
    assert_same_teacher(alone / "teacher", two / "teacher")


@pytest.mark.slow
def test_a_teacher_is_sharded_with_the_model(tmp_path, alone):
    sharded = start(tmp_path / "sharded", *TEACHER, launcher=TWO, variables=FSDP)
    assert sharded.returncode == 0, sharded.stderr
    assert_same_teacher(alone / "teacher", tmp_path / "sharded")


@pytest.mark.slow
def test_the_documented_accelerate_configuration_shards_weights(tmp_path, one):
    of_many = (Path(__file__).parents[2] / "docs" / "cluster.yaml").read_text()
    of_one = re.sub(r"num_machines: \d+", "num_machines: 1", re.sub(r"num_processes: \d+", "num_processes: 2", of_many))
    (tmp_path / "cluster.yaml").write_text(of_one)
    command = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(tmp_path / "cluster.yaml")]
    launched = start(tmp_path / "two", *CLIPPED, launcher=[*command, "--main_process_port", "0"])
    assert launched.returncode == 0, launched.stderr
    assert launched.stdout.count("FSDPJointModel") == 2
    assert_equal_up_to_rounding(one, tmp_path / "two")


@pytest.mark.slow
def test_two_killed_processes_resume_to_identical_weights(tmp_path):
    arguments = ("checkpoint_every=5", "drop_path=0.2")
    assert start(tmp_path / "uninterrupted", *arguments, launcher=TWO).returncode == 0
    # The other process does not wait for the killed one: the launcher ends within the time limit of start().
    killed = start(tmp_path / "broken", *arguments, "kill_at=7", "kill_rank=1", launcher=TWO)
    assert killed.returncode != 0
    assert "Signal 9" in killed.stderr
    assert last(tmp_path / "broken").name == "000000005"
    assert start(tmp_path / "broken", *arguments, launcher=TWO).returncode == 0
    assert list(differences(tmp_path / "uninterrupted", tmp_path / "broken")) == [0, 0, 0, 0]


@pytest.mark.slow
@pytest.mark.parametrize("variables", [{}, FSDP], ids=["full", "sharded"])
def test_torchrun_restarts_from_the_checkpoint(tmp_path, variables):
    arguments = ("checkpoint_every=5",)
    assert start(tmp_path / "uninterrupted", *arguments, launcher=TWO, variables=variables).returncode == 0
    restarting = [*TWO, "--max-restarts", "1"]
    restarted = start(
        tmp_path / "broken", *arguments, "kill_at=7", "kill_rank=1", launcher=restarting, variables=variables
    )
    assert restarted.returncode == 0, restarted.stderr
    assert list(differences(tmp_path / "uninterrupted", tmp_path / "broken")) == [0, 0, 0, 0]


@pytest.mark.slow
def test_memory_does_not_grow_over_two_thousand_steps(tmp_path):
    assert start(tmp_path / "long", "epochs=500", "checkpoint_every=500", "validate_every=100").returncode == 0
    lines = [json.loads(line) for line in (tmp_path / "long" / "steps.jsonl").read_text().splitlines()]
    assert lines[-1]["step"] == 2000
    settled = next(line["memory_gib"] for line in lines if line["step"] >= 200)
    assert lines[-1]["memory_gib"] <= settled + 0.02


def test_every_kind_of_saved_tensor_is_compared(one):
    moments = load_file(last(one) / "optimizer.safetensors")
    assert {key.rpartition(":")[2] for key in moments} == {"step", "exp_avg", "exp_avg_sq"}
    assert any(torch.count_nonzero(value) for value in moments.values())
