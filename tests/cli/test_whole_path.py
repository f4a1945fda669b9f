"""Train, evaluate and predict on 60 faces, with the commands."""

import json

import pandas as pd
import pytest
from PIL import Image

from auxface import evaluation
from auxface.data.manifest import read_manifest
from auxface.model.saved_model import load_model


def test_an_image_model_trains_evaluates_and_predicts(run, sixty, small, tmp_path):
    trained = run("train", "recipes/l_ssat.yaml", "--data", sixty, "--out", "model", *small, "--set", "tasks=[emotion]")
    assert trained.code == 0, trained.err
    assert "balanced_accuracy" in trained.out
    saved = load_model(tmp_path / "model")
    assert saved.config.selection.split == "val"
    assert [task.name for task in saved.config.tasks] == ["emotion"]
    # Four steps teach no target.
    assert f"{saved.config.provenance['auxiliary_effect']}\n" in trained.out
    assert "warning: reconstruction: the skill on validation images was -" in trained.err

    measured = run("evaluate", "model", "--data", sixty, "--split", "test", "--out", "model/test", "--resamples", 100)
    assert measured.code == 0, measured.err
    assert "emotion" in measured.out
    folder = tmp_path / "model" / "test"
    report = json.loads((folder / "report.json").read_text())
    task = report["tasks"]["emotion"]
    for name in ("accuracy", "balanced_accuracy", "macro_f1"):
        assert set(task["overall"][name]) >= {"value", "low", "high", "n"}
    assert set(task["groups"]) >= {"skin_tone", "age_group"}
    assert {"defocus_blur", "gaussian_noise", "jpeg_compression"} <= set(task["robustness"])
    assert all(set(levels) == {"1", "2", "3", "4", "5"} for levels in task["robustness"].values())
    assert {"recipe_hash", "manifest_hash", "versions", "machine"} <= set(report["provenance"])
    table = evaluation.read_predictions(folder / "predictions.parquet").frame
    assert len(table) == len(read_manifest(sixty).only("test").table)
    page = (folder / "report.html").read_text()
    assert "<script src" not in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert len(page) < 3_000_000

    image = next(iter(read_manifest(sixty).paths()))
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    predicted = run("predict", "model", image, "broken.jpg", "--json")
    assert predicted.code == 0, predicted.err
    first, second = json.loads(predicted.out)
    answer = first["faces"][0]["tasks"]["emotion"]
    assert (first["input"], first["reason"]) == (str(image), None)
    assert {"class", "probability", "probabilities", "threshold", "abstained", "learned"} <= set(answer)
    assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    assert second["faces"] == []
    assert second["reason"]


def test_an_unreadable_image_is_listed_and_training_continues(run, small, tmp_path):
    for number in range(24):
        split = "train" if number < 12 else "val" if number < 18 else "test"
        Image.new("RGB", (32, 32), (number * 9, 40, 90)).save(tmp_path / f"{number}.png")
        (tmp_path / "list.csv").open("a").write(
            ("path,split,kind\n" if not number else "") + f"{number}.png,{split},{'ab'[number % 2]}\n"
        )
    prepared = run("prepare", "table", "list.csv", "--label", "kind", "-o", "m.parquet")
    assert prepared.code == 0, prepared.err
    (tmp_path / "3.png").write_bytes(b"\x89PNG cut short")
    trained = run("train", "supervised", "--data", "m.parquet", "--out", "model", *_supervised(small), "--json")
    assert trained.code == 0, trained.err
    assert json.loads(trained.out)["unreadable"] == 1
    rejected = pd.read_csv(tmp_path / "model" / "rejected.csv")
    assert rejected["path"].tolist() == ["3.png"]
    assert rejected["reason"].str.len().gt(3).all()


def test_several_models_are_evaluated_together(run, sixty, trained):
    done = run("evaluate", trained, "--data", sixty, "--out", "e", "--corruption", "none", "--resamples", 100, "--json")
    assert done.code == 0, done.err
    assert set(json.loads(done.out)["tasks"]) == {"emotion", "forged"}


def test_explain_names_the_tasks_it_does_not_explain(run, sixty, trained):
    image = next(iter(read_manifest(sixty).paths()))
    done = run("explain", trained, image, "-o", "why.png")
    assert done.code == 0, done.err
    assert "other tasks, with --task: forged\n" in done.out
    assert "other tasks" not in run("explain", trained, image, "-o", "again.png", "--task", "forged").out


def test_standard_output_holds_only_json(run, sixty, small):
    done = run(
        "train", "supervised", "--data", sixty, "--out", "m", *_supervised(small), "--set", "tasks=[emotion]", "--json"
    )
    assert json.loads(done.out)["model"] == "m"


def _supervised(small: list[str]) -> list[str]:
    pairs = zip(small[::2], small[1::2], strict=True)
    return [word for pair in pairs if not pair[1].startswith("auxiliary.") for word in pair]
