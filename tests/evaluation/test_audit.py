"""The function and command ``audit``: files in, a report folder out; exit code 2 and one line for bad input."""

import json
import sys
from types import SimpleNamespace

import pandas as pd
import pytest
from simulated_tables import emotion_samples, emotion_scores, forged_predictions

from auxface.cli import main
from auxface.errors import InputError
from auxface.evaluation import join_conditions, write_predictions
from auxface.evaluation.audit import audit
from auxface.output_folder import written_folder


@pytest.fixture
def run(monkeypatch, capsys):
    """The command line, in this process: exit code, standard output, standard error."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["auxface", "audit", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return SimpleNamespace(returncode=ended.value.code, stdout=captured.out, stderr=captured.err)

    return call


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tables")
    write_predictions(forged_predictions(n=400), folder / "a.parquet")
    write_predictions(forged_predictions(n=400, skill=2.5), folder / "b.parquet")
    return folder


def test_one_table_gives_a_page_json_and_csv_files(run, tables, tmp_path):
    done = run(tables / "a.parquet", "--out", tmp_path / "audit", "--resamples", 100, "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report == json.loads((tmp_path / "audit" / "report.json").read_text())
    assert report["method"]["files"]["a"][0]["file"] == "a.parquet"
    assert 0 < (tmp_path / "audit" / "report.html").stat().st_size < 3_000_000
    models = pd.read_csv(tmp_path / "audit" / "csv" / "models.csv")
    value = models.query("metric == 'auc' and unit == 'sample'")["value"].item()
    assert value == pytest.approx(report["tasks"]["forged"]["overall"]["auc"]["value"])
    again = run(tables / "a.parquet", "--out", tmp_path / "audit")
    assert again.returncode == 2
    assert "already exists" in again.stderr


def test_two_tables_are_compared(run, tables, tmp_path):
    done = run(
        tables / "a.parquet", tables / "b.parquet", "--names", "ours,theirs", "-o", tmp_path / "x", "--resamples", 100
    )
    assert done.returncode == 0, done.stderr
    assert "ours" in done.stdout
    assert "theirs" in done.stdout
    report = json.loads((tmp_path / "x" / "report.json").read_text())
    assert set(report["models"]) == {"ours", "theirs"}
    assert any(item["metric"] == "auc" and item["p_holm"] is not None for item in report["comparisons"]["forged"])


def test_a_bad_table_gives_one_line_and_no_files(run, tables, tmp_path):
    frame = forged_predictions(n=50).frame
    frame.assign(**{"score.forged.forged": 2.0}).to_parquet(tmp_path / "logits.parquet")
    done = run(tmp_path / "logits.parquet", "--out", tmp_path / "audit")
    assert done.returncode == 2
    assert done.stderr.startswith("auxface: ")
    assert len(done.stderr.splitlines()) == 1
    assert "outside [0, 1]" in done.stderr
    assert not (tmp_path / "audit").exists()


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"names": ["x"]}, "1 name for 2 tables"),
        ({"names": ["x", "x"]}, "both called 'x'"),
        ({"tasks": ["age"]}, "no task 'age'"),
        ({"split": "val"}, "no rows of split 'val'"),
        ({"baseline": "z"}, "no model is called 'z'"),
        ({"matrix": True}, "does not record the data set on which the model was trained"),
        ({"validation": ["a.parquet"]}, "1 validation tables for 2 models"),
    ],
)
def test_options_that_do_not_match_are_refused(tables, tmp_path, more, sentence):
    more = {name: [tables / v for v in value] if name == "validation" else value for name, value in more.items()}
    with pytest.raises(InputError, match=sentence):
        audit([tables / "a.parquet", tables / "b.parquet"], tmp_path / "x", resamples=100, **more)
    assert not (tmp_path / "x").exists()


def test_a_split_must_be_chosen_if_there_are_several(tmp_path):
    table = forged_predictions(n=400)
    table.frame.loc[:199, "split"] = "val"
    write_predictions(table, tmp_path / "t.csv")
    with pytest.raises(InputError, match=r"several splits \(test, val\); choose one with --split"):
        audit(tmp_path / "t.csv", tmp_path / "x")
    found = audit(tmp_path / "t.csv", tmp_path / "x", split="test", validation=[tmp_path / "t.csv"], resamples=100)
    assert found.models["t"].rows == 200
    assert found.models["t"].tasks["forged"].operating_points


def test_a_matrix_of_training_and_test_sets(tmp_path):
    paths = []
    for seed, (train, test) in enumerate([("ff", "ff"), ("ff", "celeb"), ("celeb", "ff"), ("celeb", "celeb")]):
        table = forged_predictions(n=300, videos=40, seed=seed)
        table.frame["dataset"] = test
        table.provenance["trained_on"] = train
        paths.append(tmp_path / f"{train}-{test}.parquet")
        write_predictions(table, paths[-1])
    found = audit(paths, tmp_path / "x", matrix=True, resamples=100)
    cells = {(train, test) for train, model in found.models.items() for test in model.tasks["forged"].datasets}
    assert cells == {("ff", "ff"), ("ff", "celeb"), ("celeb", "ff"), ("celeb", "celeb")}
    assert "Across data sets" in (tmp_path / "x" / "report.html").read_text()


def test_robustness_is_read_from_one_table(tmp_path):
    samples = emotion_samples(200, 60)
    write_predictions(emotion_scores(samples, 2.0, 0), tmp_path / "m.parquet")
    curves = {"fog": {k: emotion_scores(samples, 2.0 - 0.3 * k, 0) for k in (1, 2)}}
    write_predictions(join_conditions(curves), tmp_path / "corrupted.parquet")
    found = audit(tmp_path / "m.parquet", tmp_path / "x", robustness=[tmp_path / "corrupted.parquet"], resamples=100)
    assert list(found.models["m"].tasks["emotion"].robustness["fog"]) == [1, 2]
    with pytest.raises(InputError, match="pass the table with --robustness"):
        audit(tmp_path / "corrupted.parquet", tmp_path / "y")


def test_overwrite_replaces_an_audit_and_nothing_else(run, tables, tmp_path):
    out, few = tmp_path / "audit", ("--resamples", 100, "--overwrite")
    for _ in range(2):
        assert run(tables / "a.parquet", "--out", out, *few).returncode == 0
    (out / "csv" / "thesis.tex").write_text("mine")
    page = (out / "report.html").read_bytes()
    refused = run(tables / "b.parquet", "--out", out, *few)
    assert (refused.returncode, "csv/thesis.tex" in refused.stderr) == (2, True)
    assert (out / "csv" / "thesis.tex").read_text() == "mine"
    assert (out / "report.html").read_bytes() == page


def test_an_audit_does_not_replace_the_folder_of_its_table(run, tables, tmp_path):
    with written_folder(tmp_path / "test") as beside:
        (beside / "a.parquet").write_bytes((tables / "a.parquet").read_bytes())
    refused = run(tmp_path / "test" / "a.parquet", "--out", tmp_path / "test", "--overwrite")
    assert (refused.returncode, "which this command reads" in refused.stderr) == (2, True)
    assert (tmp_path / "test" / "a.parquet").exists()


def test_weights_that_overflow_are_refused():
    frame = pd.DataFrame({"y": [0, 1] * 20, "p": [0.1, 0.9] * 20, "w": 1e308})
    with pytest.raises(InputError, match="the weights add up to inf"):
        audit(frame, true="y", score="p", weight="w", resamples=20)


def test_an_installed_package_without_a_clone_writes_a_page(tables, tmp_path, monkeypatch):
    monkeypatch.setattr("auxface.provenance._commit", lambda: None)
    audit(tables / "a.parquet", tmp_path / "x", resamples=50)
    assert "commit" not in (tmp_path / "x" / "report.html").read_text().partition("Measured on")[2][:300]
