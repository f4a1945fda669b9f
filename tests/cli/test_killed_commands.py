"""``evaluate``, ``export`` and ``study`` stopped by ``kill -9``: no partial result, and the next run is complete."""

import hashlib
import json
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

PROGRAM = Path(__file__).resolve().parents[1] / "killed_process.py"
EVALUATE = ("--corruption", "fog", "--severity", "1", "--resamples", "100", "--device", "cpu")


def killed(folder: Path, event: str, name: str, *arguments: object, step: int = 0, copies: Path = Path()) -> None:
    """Run a command in a folder, in a process group that is killed before an operation on a file."""
    command = [sys.executable, PROGRAM, copies, step, event, name, *arguments]
    process = subprocess.run(list(map(str, command)), cwd=folder, start_new_session=True, capture_output=True)
    assert process.returncode == -signal.SIGKILL, process.stderr.decode()[-2000:]


def hashes(folder: Path) -> dict[str, str]:
    """Return the hash of every file that is not hidden."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    }


def results(folder: Path) -> dict[str, object]:
    """Return the tables and the report of an evaluation, without the time at which it was made."""
    report = json.loads((folder / "report.json").read_text())
    del report["method"]["measured_by"]["created"], report["provenance"]["created"]
    tables = {path.name: pd.read_parquet(path).to_csv() for path in sorted(folder.glob("*.parquet"))}
    return {"report": report, **tables, **{path.name: path.read_text() for path in sorted(folder.glob("csv/*.csv"))}}


@pytest.mark.slow
@pytest.mark.parametrize("last", ["out", "report.json"])
def test_a_killed_evaluation_is_repeated(run, tmp_path, trained, sixty, last):
    overwrite = () if last == "out" else ("--overwrite",)
    command = ("evaluate", trained, "--data", sixty, "-o", "out", *EVALUATE, *overwrite)
    place, copies = tmp_path / "killed", tmp_path / "copies"
    place.mkdir()
    if overwrite:
        # Another seed, so that the old results differ from the new ones.
        assert run("evaluate", trained, "--data", sixty, "-o", place / "out", *EVALUATE, "--seed", 1).code == 0
    old = hashes(place)
    assert run(*command[:4], "-o", tmp_path / "unbroken", *EVALUATE).code == 0
    expected = results(tmp_path / "unbroken")

    killed(place, "os.rename", last, *command, step=9, copies=copies)
    states = [place, *sorted(copies.iterdir())]
    assert len(states) > 8
    for state in states:
        left = hashes(state)
        # Until the last operations, nothing is visible or the old results are unchanged.
        assert left == old or (overwrite and set(left) >= set(old) and state == place)
    for state in (place, states[1], states[len(states) // 2]):
        done = run(*command[:4], "-o", state / "out", *EVALUATE, *overwrite)
        assert done.code == 0, done.err
        assert results(state / "out") == expected
        assert hashes(state).keys() == {f"out/{name}" for name in hashes(tmp_path / "unbroken")}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["x.onnx", "x.pt2"])
def test_a_killed_export_is_repeated(run, tmp_path, trained, name):
    format = Path(name).suffix[1:]
    command = ("export", trained, "-o", name, "--format", format)
    place, copies = tmp_path / "killed", tmp_path / "copies"
    place.mkdir()
    killed(place, "os.rename", name, *command, step=1, copies=copies)
    states = [place, *copies.iterdir()]
    assert len(states) > 2
    assert all(hashes(state) == {} for state in states)
    assert run("export", trained, "-o", place / name, "--format", format).code == 0
    assert run("export", trained, "-o", tmp_path / name, "--format", format).code == 0
    assert hashes(place).keys() == {name}
    if format == "onnx":
        assert (place / name).read_bytes() == (tmp_path / name).read_bytes()


STUDY = """
name: tiny
about: Does it work?
data: [{name: moods, manifest: faces.parquet, task: emotion}]
methods: {supervised: {recipe: supervised}}
settings:
  {encoder.image_size: 32, encoder.patch_size: 8, encoder.width: 32, encoder.depth: 1, encoder.heads: 2,
   train.epochs: 2, train.batch_size: 16, train.augment: none, train.precision: fp32, train.threads: 1,
   train.attention: plain, train.channels_last: false}
seeds: [0]
compare: {baseline: supervised}
"""
# Before the model, the evaluation, the result and the record are written, and before the run's folder is deleted.
POINTS = [
    ("os.rename", "config.json"),
    ("os.rename", "test"),
    ("os.rename", "result.json"),
    ("open", "results.jsonl"),
    ("os.remove", "result.json"),
]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory, sixty):
    """The folder of a study that was not killed."""
    from auxface.studies.study import study

    folder = tmp_path_factory.mktemp("study")
    (folder / "tiny.yaml").write_text(STUDY)
    assert study(folder / "tiny.yaml", folder / "out", data_root=sixty.parent, device="cpu").done == 1
    return folder / "out"


def record(folder: Path) -> dict:
    """Return the only record of a study, without times and memory."""
    (line,) = (folder / "results.jsonl").read_text().splitlines()
    measured = {"wall_seconds", "training_seconds", "test_seconds", "memory_gib", "created", "commit"}
    found = {key: value for key, value in json.loads(line).items() if key not in measured}
    for epoch in found["curve"]:
        for key in [key for key in epoch if "second" in key or "memory" in key]:
            del epoch[key]
    return found


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(("event", "name"), POINTS)
def test_a_killed_study_is_completed(tmp_path, unbroken, sixty, event, name):
    from auxface.studies.study import study

    (tmp_path / "tiny.yaml").write_text(STUDY)
    arguments = ("study", "tiny.yaml", "--out", "out", "--data-root", sixty.parent, "--device", "cpu")
    killed(tmp_path, event, name, *arguments)
    study(tmp_path / "tiny.yaml", tmp_path / "out", data_root=sixty.parent, device="cpu")
    assert record(tmp_path / "out") == record(unbroken)
    # A kill while the run's folder is deleted leaves parts of it, which no command reads.
    assert {name for name in hashes(tmp_path / "out") if not name.startswith("runs/")} == set(hashes(unbroken))
    for table in (unbroken / "predictions").iterdir():
        pd.testing.assert_frame_equal(
            pd.read_parquet(tmp_path / "out" / "predictions" / table.name), pd.read_parquet(table)
        )
