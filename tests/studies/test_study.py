"""``auxface study``: one process and one record per run, resumption, failures, the report."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from auxface.cli import main
from auxface.data.prepare.prepare import prepare
from auxface.errors import InputError
from auxface.recipe import load_recipe
from auxface.studies.results_file import predictions_path, read_results
from auxface.studies.study import study
from auxface.studies.study_report import study_report
from auxface.studies.worker import SharedChoices
from auxface.training.measured_choices import Trial

TEXT = """
name: tiny
about: Does it work?
data: [{name: moods, manifest: faces.parquet, task: emotion, baselines: {guess: {balanced_accuracy: 0.125}}}]
methods:
  supervised: {recipe: supervised}
  ssat: {recipe: ssat, settings: {auxiliary.decoder_width: 16, auxiliary.decoder_depth: 1, auxiliary.decoder_heads: 2}}
  broken: {recipe: supervised, settings: {encoder.init_from: nowhere.safetensors}}
settings:
  {encoder.image_size: 32, encoder.patch_size: 8, encoder.width: 32, encoder.depth: 1, encoder.heads: 2,
   train.epochs: 1, train.batch_size: 16, train.augment: none}
seeds: [0]
compare: {baseline: supervised}
"""
SMALL = ["encoder.image_size=32", "encoder.patch_size=8", "encoder.width=32", "encoder.depth=1", "encoder.heads=2"]


@pytest.fixture(scope="session")
def place(tmp_path_factory) -> Path:
    """A folder with a study file and a manifest of synthetic faces."""
    folder = tmp_path_factory.mktemp("study")
    options = {"count": 80, "seed": 0, "size": 32}
    prepare("synthetic", folder / "images", out=folder / "faces.parquet", options=options)
    (folder / "tiny.yaml").write_text(TEXT)
    return folder


@pytest.fixture(scope="session")
def finished(place) -> Path:
    """The folder of results of the finished study."""
    logged: list[str] = []
    progress = study(place / "tiny.yaml", place / "out", device="cpu", jobs=2, log=logged.append)
    assert (progress.done, progress.failed, progress.left, progress.now) == (2, 1, 0, 3)
    assert sum("failed (" in line for line in logged) == 1
    return place / "out"


def test_each_run_leaves_a_record_and_its_predictions(finished):
    lines = {key: line for key, line in read_results(finished).items() if line["row"] != "broken"}
    assert sorted(line["row"] for line in lines.values()) == ["ssat", "supervised"]
    for key, line in lines.items():
        assert line["status"] == "done"
        assert line["tasks"]["emotion"]["overall"]["balanced_accuracy"]["n"] > 0
        assert "skin_tone" in line["tasks"]["emotion"]["groups"]
        assert line["curve"][0]["epoch"] == 1
        assert len(line["recipe_hash"]) == len(line["manifest_hash"]) == 64
        assert line["recipe"]["train"]["epochs"] == 1
        assert {"machine", "versions", "created", "commit", "training_seconds", "memory_gib"} <= set(line)
        assert predictions_path(finished, key).is_file()
    assert not any((finished / "runs").iterdir())


def test_finished_runs_are_not_executed_again(place, finished):
    before = (finished / "results.jsonl").read_bytes()
    progress = study(place / "tiny.yaml", finished, device="cpu")
    assert (progress.done, progress.failed, progress.left, progress.now) == (2, 1, 0, 0)
    assert (finished / "results.jsonl").read_bytes() == before


def test_the_report_writes_page_and_tables(finished, tmp_path):
    analysis = study_report(finished, tmp_path / "page.html", markdown=tmp_path / "tables.md", resamples=100)
    assert (analysis.done, len(analysis.failed), analysis.planned) == (2, 1, 3)
    assert "one seed" in analysis.data[0].methods["ssat"].overall["balanced_accuracy"].why
    assert "guess" in (tmp_path / "page.html").read_text()
    assert (tmp_path / "tables.md").read_text().startswith("2 of 3 runs done, 1 failed")
    with pytest.raises(InputError, match="--overwrite"):
        study_report(finished, tmp_path / "page.html")


def test_no_run_starts_within_a_budget_of_zero(place, finished, tmp_path):
    assert study(place / "tiny.yaml", tmp_path / "out", device="cpu", budget="0s").left == 3


def test_a_failed_run_is_recorded_with_its_reason(finished):
    (line,) = (line for line in read_results(finished).values() if line["row"] == "broken")
    assert line["status"] == "failed"
    assert "nowhere.safetensors" in line["why"]


@pytest.mark.slow
def test_a_killed_study_resumes_its_interrupted_run(place, tmp_path):
    (place / "long.yaml").write_text(TEXT.replace("train.epochs: 1,", "train.epochs: 200,"))
    out = tmp_path / "out"
    command = [sys.executable, "-m", "auxface", "study", str(place / "long.yaml"), "--out", str(out), "--device", "cpu"]
    process = subprocess.Popen(command)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not list(out.glob("runs/*/model/checkpoint/*")):
        time.sleep(0.2)
    children = psutil.Process(process.pid).children(recursive=True)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    # The run's process ends with the study.
    assert psutil.wait_procs(children, timeout=60)[1] == []
    assert read_results(out) == {}
    log = next(out.glob("runs/*/model/log.jsonl"))
    epochs = len(log.read_text().splitlines())
    assert 0 < epochs < 200
    study(place / "long.yaml", out, device="cpu", where=["method=supervised"])
    (line,) = read_results(out).values()
    assert [entry["epoch"] for entry in line["curve"]] == list(range(1, 201))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nowhere.yaml"], "no such study"),
        (["tiny.yaml", "--where", "mood=glad"], "--where mood=glad: expected key=value"),
        (["tiny.yaml", "--budget", "soon"], "--budget soon: expected a duration"),
        (["tiny.yaml", "--data-root", "elsewhere"], "no such manifest"),
        (["report", "nowhere", "-o", "page.html"], "contains no study results"),
    ],
)
def test_input_errors_are_one_line_with_exit_code_2(place, tmp_path, monkeypatch, capsys, arguments, sentence):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(TEXT)
    (tmp_path / "faces.parquet").write_bytes((place / "faces.parquet").read_bytes())
    monkeypatch.setattr(sys, "argv", ["auxface", "study", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("auxface: ")]
    assert ended.value.code == 2
    assert len(errors) == 1
    assert sentence in errors[0]
    assert not (tmp_path / "page.html").exists()


def test_json_output_is_one_document(place, finished, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", ["auxface", "study", str(place / "tiny.yaml"), "--out", str(finished), "--json"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert json.loads(capsys.readouterr().out) == {"done": 2, "failed": 1, "left": 0, "now": 0}


@pytest.fixture
def timed(monkeypatch, tmp_path):
    """Steps of long runs in which bf16 is twice as fast; returns the recipes that were measured."""
    monkeypatch.setenv("AUXFACE_CACHE", str(tmp_path / "cache"))
    measured = []

    def step(self, kernels, *, in_wall_time=False):
        measured.append(self.model.recipe)
        return 0.01 if kernels.precision == "bf16" else 0.02

    monkeypatch.setattr(Trial, "step", step)
    return measured


@pytest.mark.parametrize("metric", ["mean_absolute_error", "auc"])
def test_a_metric_that_the_label_lacks_is_refused_first(place, tmp_path, metric):
    (tmp_path / "s.yaml").write_text(
        TEXT.replace("{baseline: supervised}", f"{{baseline: supervised, metric: {metric}}}")
    )
    expected = f"{metric} is not defined for the class label 'emotion' of .*balanced_accuracy"
    with pytest.raises(InputError, match=expected):
        study(tmp_path / "s.yaml", tmp_path / "out", data_root=place, device="cpu")


def test_a_study_measures_once_for_all_arms(place, timed, tmp_path):
    arms = [load_recipe("supervised", [*SMALL, "train.epochs=100000"]), load_recipe("ssat", SMALL)]
    choices = SharedChoices(tmp_path, "cpu", jobs=2)
    found = [choices.apply(arm, place / "faces.parquet").train for arm in arms]
    assert [options.precision for options in found] == ["bf16", "bf16"]
    assert found[0].attention == found[1].attention != "auto"
    assert {options.threads for options in found} == {max(1, (os.cpu_count() or 1) // 2)}
    assert {recipe.name for recipe in timed} == {"supervised"}
    # A later call uses the stored choices, and settings of an arm stay.
    timed.clear()
    fixed = load_recipe("supervised", [*SMALL, "train.precision=fp32", "train.threads=3"])
    again = SharedChoices(tmp_path, "cpu", jobs=1).apply(fixed, place / "faces.parquet").train
    assert (again.precision, again.threads, again.attention) == ("fp32", 3, found[0].attention)
    assert timed == []


def test_another_encoder_keeps_the_precision(place, timed, tmp_path):
    choices = SharedChoices(tmp_path, "cpu", jobs=2)
    first = load_recipe("supervised", [*SMALL, "train.epochs=100000"])
    choices.apply(first, place / "faces.parquet")
    timed.clear()
    other = load_recipe("supervised", ["encoder.name=test_resnet", "encoder.image_size=64", "train.epochs=100000"])
    options = choices.apply(other, place / "faces.parquet").train
    assert options.precision == "bf16"
    assert timed
    assert "auto" not in (options.attention, options.channels_last, options.threads)
