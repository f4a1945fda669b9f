"""A class task and an ordinal task together, through every command, on faces named as in UTKFace."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from auxface.data.manifest import read_manifest
from auxface.model.saved_model import load_model

COUNT = 160


def draw_faces(root):
    """Faces whose brightness is the age, and the color of whose upper half is the gender."""
    rng = np.random.default_rng(0)
    root.mkdir()
    for number in range(COUNT):
        age, gender = int(rng.integers(5, 86)), int(rng.integers(2))
        image = rng.normal(30 + 2 * age, 6, (32, 32, 3))
        image[:16, :, 2 if gender else 0] += 40
        name = f"{age}_{gender}_{number % 5}_20170116{number:09d}.jpg"
        Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(root / name, quality=95)


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    root = tmp_path_factory.mktemp("utk") / "UTKFace"
    draw_faces(root)
    return root


def test_age_and_gender_from_file_names_to_figures(run, faces, small, tmp_path):
    prepared = run("prepare", "utkface", faces, "-o", "faces.parquet")
    assert prepared.code == 0, prepared.err
    settings = [word for word in small if not word.startswith(("train.epochs", "auxiliary.decoder_heads"))]
    words = [word for word in settings if word != "--set"]
    tuned = [*words, "auxiliary.decoder_heads=2", "train.epochs=24", "train.base_learning_rate=0.05"]
    tuned += ["tasks={gender: {class_weights: balanced}, age: {weight: 2, bins: 18}}", "balance=0.5"]
    flags = [word for setting in tuned for word in ("--set", setting)]
    trained = run("train", "l_ssat", "--data", "faces.parquet", "--out", "model", *flags)
    assert trained.code == 0, trained.err
    saved = load_model(tmp_path / "model")
    assert [(task.name, task.kind) for task in saved.config.tasks] == [("gender", "class"), ("age", "ordinal")]
    ages = read_manifest(tmp_path / "faces.parquet").only("train").table["age"]
    assert saved.config.tasks[1].values == pytest.approx(np.linspace(ages.min(), ages.max(), 18))

    measured = run("evaluate", "model", "--data", "faces.parquet", "--split", "test", "--out", "e", "--corruption",
                   "none", "--resamples", 100)  # fmt: skip
    assert measured.code == 0, measured.err
    tasks = json.loads((tmp_path / "e" / "report.json").read_text())["tasks"]
    table = pd.read_parquet(tmp_path / "e" / "predictions.parquet")
    distance = (table["predicted.age"] - table["true.age"]).abs()
    overall = tasks["age"]["overall"]
    assert overall["mean_absolute_error"]["value"] == pytest.approx(distance.mean(), rel=1e-5)
    assert overall["mean_absolute_error"]["low"] < distance.mean() < overall["mean_absolute_error"]["high"]
    for limit in (1, 5):
        assert overall[f"cumulative_score_{limit}"]["value"] == pytest.approx((distance <= limit).mean(), rel=1e-5)
    # Both tasks are learned: better than predicting the mean age, and than a random class.
    guess = (table["true.age"] - ages.mean()).abs().mean()
    assert distance.mean() < 0.6 * guess
    assert tasks["gender"]["overall"]["balanced_accuracy"]["value"] > 0.8
    assert set(tasks["age"]["groups"]) >= {"gender", "race", "age_group"}

    image = read_manifest(tmp_path / "faces.parquet").only("test").paths()[0]
    predicted = run("predict", "model", image, "--json")
    assert predicted.code == 0, predicted.err
    answers = json.loads(predicted.out)[0]["faces"][0]["tasks"]
    assert set(answers) == {"gender", "age"}
    row = table.set_index("source").loc[image.stem]
    assert answers["age"]["value"] == pytest.approx(row["predicted.age"], abs=0.5)
    assert answers["gender"]["class"] in ("Male", "Female")


def test_class_weights_of_an_ordinal_label_are_refused(run, refused, faces, small):
    assert run("prepare", "utkface", faces, "-o", "faces.parquet").code == 0
    message = refused("train", "l_ssat", "--data", "faces.parquet", "--out", "model", *small, "--set",
                   "tasks={age: {class_weights: balanced}}")  # fmt: skip
    assert "'age' is ordinal; class_weights" in message
