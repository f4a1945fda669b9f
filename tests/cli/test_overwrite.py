"""``--overwrite`` of the commands that train, evaluate and predict replaces only what auxface wrote."""

import shutil

import pytest

import auxface.training.train as module
from auxface import evaluation
from auxface.errors import InputError
from auxface.inference.evaluate import evaluate
from auxface.inference.predict import predict
from auxface.inference.predictor import Predictor
from auxface.training.train import resume, train

FEW = {"corruptions": (), "resamples": 20, "device": "cpu", "overwrite": True}


@pytest.fixture
def train_small(sixty, small):
    """Train a small model into a folder with ``overwrite``."""
    settings = [item for item in small if not item.startswith(("--set", "auxiliary."))] + ["tasks=[emotion]"]
    return lambda out: train("supervised", sixty, out, overrides=settings, device="cpu", overwrite=True)


def snapshot(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refused(call, out, name):
    before = snapshot(out)
    with pytest.raises(InputError, match=name):
        call(out)
    assert snapshot(out) == before


def test_overwrite_replaces_a_run_and_nothing_else(train_small, sixty, tmp_path):
    out = tmp_path / "run"
    train_small(out)
    evaluate(out, sixty, out / "test", **FEW)
    train_small(out)
    assert (out / "test" / "report.html").exists()
    assert len(list((out / "checkpoint").iterdir())) == 1
    resume(out, device="cpu")
    train_small(out)
    (out / "checkpoint" / "notes.txt").write_text("mine")
    refused(train_small, out, r"'checkpoint/notes\.txt' is not recorded")
    (out / "checkpoint" / "notes.txt").unlink()
    (out / "README.md").write_text("my card")
    refused(train_small, out, r"'README\.md' has changed")


def test_overwrite_replaces_a_killed_run_and_nothing_else(train_small, tmp_path, monkeypatch):
    out = tmp_path / "run"

    def kill(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "write_model_files", kill)
    with pytest.raises(KeyboardInterrupt):
        train_small(out)
    monkeypatch.undo()
    for name in ("notes.txt", "README.md", "recipe.yaml"):
        kept = (out / name).read_bytes() if (out / name).exists() else None
        (out / name).write_text("mine")
        refused(train_small, out, f"'{name}'")
        (out / name).unlink() if kept is None else (out / name).write_bytes(kept)
    assert (out / "log.jsonl").exists()
    train_small(out)
    assert (out / "model.safetensors").exists()


def test_a_file_put_beside_a_run_in_training_is_kept(train_small, tmp_path, monkeypatch):
    out, write = tmp_path / "run", module.calibrated_config

    def configure(*arguments, **options):
        (out / "README.md").write_text("mine")
        return write(*arguments, **options)

    monkeypatch.setattr(module, "calibrated_config", configure)
    with pytest.raises(InputError, match=r"'README\.md' is not recorded.*train --resume"):
        train_small(out)
    monkeypatch.undo()
    assert (out / "README.md").read_text() == "mine"
    (out / "README.md").rename(tmp_path / "README.md")
    resume(out, device="cpu")
    assert (out / "model.safetensors").exists()


def test_overwrite_does_not_replace_the_training_data(train_small, sixty, tmp_path):
    images = len(list((sixty.parent / "images").iterdir()))
    # The images were written by auxface, but they are an input.
    refused(train_small, sixty.parent / "images", "which this command reads")
    refused(train_small, sixty.parent, "is not recorded as written by auxface")
    assert len(list((sixty.parent / "images").iterdir())) == images
    (tmp_path / "link").symlink_to(sixty.parent)
    refused(train_small, tmp_path / "link", "is not recorded as written by auxface")


def test_overwrite_replaces_an_evaluation_and_nothing_else(trained, sixty, tmp_path):
    def call(out):
        evaluate(trained, sixty, out, **FEW)

    out = tmp_path / "e"
    for _ in range(2):
        call(out)
    (out / "notes.txt").write_text("mine")
    refused(call, out, r"'notes\.txt'")
    (out / "notes.txt").unlink()
    evaluation.write_predictions(evaluation.read_predictions(out / "predictions.parquet"), out / "validation.parquet")
    refused(call, out, r"'validation\.parquet' has changed")


def test_overwrite_does_not_replace_the_evaluated_model(trained, sixty, tmp_path):
    shutil.copytree(trained, tmp_path / "run")
    refused(lambda out: evaluate(out, sixty, out, **FEW), tmp_path / "run", "which this command reads")


def test_overwrite_replaces_predictions_and_nothing_else(trained, sixty, tmp_path):
    def call(out):
        predict(trained, sorted((sixty.parent / "images").glob("*.png"))[:2], out=out, faces="whole", overwrite=True)

    out = tmp_path / "p"
    for _ in range(2):
        call(out)
    assert {path.name for path in out.iterdir()} == {".auxface.json", "predictions.csv", "predictions.json"}
    (out / "notes.txt").write_text("mine")
    refused(call, out, r"'notes\.txt'")


def test_a_predictor_is_added_to_an_existing_folder(trained, tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    Predictor.from_pretrained(trained, device="cpu").save_pretrained(tmp_path)
    assert (tmp_path / "thesis.tex").read_text() == "mine"
    assert (tmp_path / "model.safetensors").read_bytes() == (trained / "model.safetensors").read_bytes()
