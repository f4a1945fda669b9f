"""A plan decides from the data, is written as a recipe that can be edited, and keeps its budget."""

import json

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from auxface.data.manifest import Label, Manifest, write_manifest
from auxface.errors import InputError
from auxface.recipe import load_recipe
from auxface.training import plan as planning
from auxface.training import plan_choices as choosing
from auxface.training import plan_inputs
from auxface.training.dry_run import DryRun
from auxface.training.plan import plan, plan_file
from auxface.training.plan_choices import Timing
from auxface.training.plan_inputs import SCRATCH, Start
from auxface.training.train import train

SIDE = 72


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """48 images, bright ones of class a and dark ones of class b."""
    folder = tmp_path_factory.mktemp("faces")
    generator = np.random.default_rng(0)
    for number in range(48):
        noise = generator.integers(0, 90, (SIDE, SIDE, 3)) + 120 * (number % 2)
        Image.fromarray(noise.astype(np.uint8)).save(folder / f"{number}.png")
    return folder


def _manifest(folder, name, values=None, classes=("a", "b"), known=48, crop=None):
    values = [classes[number % 2] for number in range(48)] if values is None else values
    split = ["train" if number < 32 else "val" for number in range(48)]
    table = pd.DataFrame({"path": [f"{number}.png" for number in range(48)], "split": split, "dataset": "toy"})
    table = table.assign(source=[f"s{number}" for number in range(48)], video="", frame=0, method="")
    table["kind"] = pd.Series(
        [value if number < known or number >= 32 else None for number, value in enumerate(values)]
    )
    table["side"] = ["left", "right"] * 24
    path = folder / f"{name}.parquet"
    write_manifest(Manifest(table, {"kind": Label("class", classes)}, ("side",), crop, folder), path)
    return path


@pytest.fixture
def slow_steps(monkeypatch):
    """A machine whose step takes 0.1 s per image of 96 pixels, and reading and validation nothing."""
    found = []

    def time_step(self, encoder, label, keys=None):
        raw = self._raw()
        batch = raw.get("train", {}).get("batch_size", 32)
        area = (encoder["image_size"] / 96) ** 2 * (0.5 if encoder["name"] == SCRATCH else 1)
        seconds = batch * 0.1 * area / (1 + ("channels_last" in (keys or {})) - 0.5 * ("bf16" in str(keys)))
        self.timings.append(Timing(label, batch / seconds, seconds))
        found.append((label, keys))
        return DryRun(1.0, 10, batch, 1, seconds, 0.0, 0.0, 0.0, 1.0)

    monkeypatch.setattr(choosing.Planner, "_time", time_step)
    monkeypatch.setattr(planning, "available_starts", lambda device, start: [PRETRAINED, SMALL])
    return found


PRETRAINED = Start("big", {"name": "resnet18"}, True, "given", {"source": "test"})
SMALL = Start("small", {"name": SCRATCH}, False, "", {"source": "random"})


def _values(made):
    return {choice.key: choice.value for choice in made.choices}


def _plan(path, budget="70s"):
    return plan(path, budget=budget, device="cpu", baselines=False)


def test_a_recipe_names_each_choice_with_its_reason(images, slow_steps, tmp_path):
    out = tmp_path / "recipe.yaml"
    made = plan(_manifest(images, "named"), out, budget="70s", device="cpu", baselines=False)
    assert load_recipe(out) == made.recipe
    text = out.read_text()
    assert all(choice.reason in text for choice in made.choices)
    stored = json.loads(plan_file(out).read_text())
    assert {choice["key"] for choice in stored["choices"]} == set(_values(made))
    assert stored["timings"][0]["candidate"].startswith("big")


def test_an_output_that_exists_is_not_replaced(images, slow_steps, tmp_path):
    out = tmp_path / "recipe.yaml"
    out.write_text("mine\n")
    with pytest.raises(InputError, match=r"recipe\.yaml already exists"):
        plan(_manifest(images, "kept"), out, budget="70s", device="cpu", baselines=False)
    assert out.read_text() == "mine\n"


def test_the_fastest_precision_and_format_are_set(images, slow_steps):
    values = _values(_plan(_manifest(images, "fast")))
    assert values["train.precision"] == "fp32"
    assert values["train.channels_last"] is True


@pytest.mark.parametrize(("budget", "size"), [("30s", 64), ("70s", 96), ("10m", 96)])
def test_an_image_size_is_not_far_above_the_native_one(images, slow_steps, budget, size):
    # The images have 72 pixels, so 128 is never planned.
    assert _values(_plan(_manifest(images, "native"), budget))["encoder.image_size"] == size


def test_a_pretrained_start_has_average_warmup_and_layer_decay(images, slow_steps):
    train = _plan(_manifest(images, "start")).recipe.train
    assert train.layer_decay < 1
    assert train.ema is not None
    assert train.warmup_fraction == 0.1


@pytest.mark.parametrize(("budget", "start"), [("30s", PRETRAINED), ("16s", SMALL)])
def test_a_budget_for_few_epochs_takes_the_fastest_encoder(images, slow_steps, budget, start):
    # Ten epochs of 64 pixels take 14 s; the small encoder is twice as fast.
    assert _plan(_manifest(images, "brief"), budget).start == start


def test_reasons_are_true_where_no_candidate_fits(images, slow_steps):
    reasons = {choice.key: choice.reason for choice in _plan(_manifest(images, "hurried"), "16s").choices}
    assert reasons["encoder.name"] == "the budget is too short for big"
    assert "because none of them leaves time for 30 epochs" in reasons["encoder.image_size"]


def test_without_weights_the_start_is_a_small_convnet(monkeypatch):
    monkeypatch.setattr(plan_inputs, "cached_weights", lambda name: None)
    monkeypatch.setattr(plan_inputs, "can_download", lambda name: False)
    monkeypatch.setattr(plan_inputs, "_packaged", lambda: None)
    [start] = plan_inputs.available_starts("cpu", None)
    assert start.encoder == {"name": SCRATCH}
    assert "no pretrained weights are available" in start.reason


def test_a_start_from_scratch_can_be_asked_for():
    [start] = plan_inputs.available_starts("cpu", "scratch")
    assert (start.encoder["name"], start.is_pretrained) == (SCRATCH, False)


def test_the_rest_of_the_budget_limits_the_training(images, slow_steps):
    made = _plan(_manifest(images, "limit"), "10m")
    limit = made.recipe.train.max_seconds
    assert limit is not None
    assert made.planning_seconds + 10 < 600 - limit < 600 * 0.05 + made.planning_seconds + 12


def test_weights_of_timm_come_before_the_package(monkeypatch):
    packaged = Start("packaged", {"name": "efficientnet_lite0", "init_from": "packaged"}, True, "installed", {})
    monkeypatch.setattr(plan_inputs, "_packaged", lambda: packaged)
    monkeypatch.setattr(plan_inputs, "cached_weights", lambda name: name if name.startswith("resnet18") else None)
    names = [start.encoder["name"] for start in plan_inputs.available_starts("cpu", None)]
    assert names == ["resnet18.a1_in1k", "efficientnet_lite0", SCRATCH]
    monkeypatch.setattr(plan_inputs, "cached_weights", lambda name: None)
    monkeypatch.setattr(plan_inputs, "can_download", lambda name: False)
    starts = plan_inputs.available_starts("cpu", None)
    assert starts[0].reason == "installed; timm's weights are neither on this machine nor available for download"


def test_a_given_file_names_its_encoder(shared_data):
    path = shared_data.parent / "weights" / "efficientnet_lite0_imagenet.safetensors"
    [start] = plan_inputs.available_starts("cpu", path)
    assert start.encoder["name"] == "efficientnet_lite0"
    assert start.encoder["mean"] == [0.5, 0.5, 0.5]
    assert start.record["license"] == "Apache-2.0"


def test_classes_of_ten_to_one_are_weighted(images, slow_steps):
    rare = ["b" if number % 16 == 0 else "a" for number in range(48)]
    made = _plan(_manifest(images, "rare", rare))
    assert made.recipe.tasks["kind"].class_weights == {"a": 1.0, "b": 10.0}
    assert not _plan(_manifest(images, "even")).recipe.tasks["kind"].class_weights


def test_music_is_augmented_as_spectrograms(images, slow_steps):
    made = _plan(_manifest(images, "music", crop={"spectrogram": {"seconds": 4.0}}))
    assert (made.recipe.train.augment, made.recipe.train.mirror) == ("spectrogram", False)
    assert not any("face" in choice.reason for choice in made.choices)


@pytest.mark.parametrize("classes", [("real", "fake"), ("genuine", "deepfake"), ("live", "spoof")])
def test_real_or_fake_is_augmented_without_blur(images, slow_steps, classes):
    made = _plan(_manifest(images, "forged", classes=classes))
    assert made.recipe.train.augment == "forensic_sharp"
    assert made.recipe.auxiliary is None


def test_many_unlabeled_images_turn_the_auxiliary_on(images, slow_steps):
    made = _plan(_manifest(images, "unlabeled", known=8))
    assert (made.facts.labeled, made.facts.unlabeled) == (8, 24)
    assert made.recipe.auxiliary is not None
    assert made.recipe.balance.kind == "gradient"
    assert made.recipe.train.labeled_per_batch == 0.5
    assert _plan(_manifest(images, "all")).recipe.auxiliary is None


@pytest.mark.parametrize("seconds", [45, 55])
def test_epochs_fill_the_budget_and_do_not_exceed_it(images, slow_steps, monkeypatch, seconds):
    # Starting takes 10 s, planning no time. 32 images of 96 pixels take 3.2 s, half of it with the channels last.
    monkeypatch.setattr(choosing.time, "perf_counter", lambda: 0.0)
    made = _plan(_manifest(images, "budget"), f"{seconds}s")
    assert made.estimated_seconds == pytest.approx(10 + made.recipe.train.epochs * 1.6, abs=0.1)
    assert 0.9 * seconds <= made.estimated_seconds <= seconds


def test_a_budget_below_one_epoch_is_refused_early(images, slow_steps, monkeypatch):
    # One epoch of the small encoder takes 0.4 s at 64 pixels.
    monkeypatch.setattr(choosing, "measure_baselines", lambda *given: pytest.fail("the baselines were fitted"))
    with pytest.raises(InputError, match=r"seconds are not enough for one epoch.*use at least 1m"):
        plan(_manifest(images, "short"), budget="0.3s", device="cpu")


def test_videos_are_refused_with_the_command_for_frames(images, slow_steps):
    path = _manifest(images, "video")
    table = pd.read_parquet(path).assign(path=[f"{number}.mp4" for number in range(48)])
    manifest = Manifest(table, {"kind": Label("class", ("a", "b"))}, (), None, images)
    write_manifest(manifest, images / "clips.parquet")
    with pytest.raises(InputError, match="extract frames with"):
        _plan(images / "clips.parquet")


@pytest.fixture(scope="module")
def auto(images, tmp_path_factory):
    """A run of recipe auto with a model of few pixels, everything measured."""
    out = tmp_path_factory.mktemp("runs") / "auto"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUXFACE_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(planning, "available_starts", lambda device, start: [SMALL])
        patch.setattr(choosing, "SIZES", (64,))
        patch.setattr(choosing, "_REFERENCE_SIZE", {"cpu": 64})
        overrides = ["train.epochs=2"]
        return train("auto", _manifest(images, "auto"), out, budget="10m", overrides=overrides, device="cpu"), out


def test_auto_stores_its_plan_in_the_run(auto):
    saved, out = auto
    stored = json.loads((out / "plan.json").read_text())
    assert stored["start"]["encoder"] == {"name": SCRATCH}
    assert stored["baselines"]["kind"]["hog"] >= 0
    assert saved.config.recipe.train.epochs == 2
    assert yaml.safe_load((out / "recipe.yaml").read_text())["encoder"]["name"] == SCRATCH


def test_a_run_is_compared_with_its_baselines(auto):
    saved, out = auto
    figure = saved.config.provenance["validation"]["kind"]
    stored = json.loads((out / "plan.json").read_text())
    assert figure["baselines"] == stored["baselines"]["kind"]
    assert figure["n"] == 16
    sentence = saved.config.provenance["conclusions"][0]
    assert sentence.startswith("kind: validation balanced accuracy")
    assert "HOG + logistic regression" in sentence
    assert sentence in (out / "README.md").read_text()
    assert "Random initial weights." in (out / "README.md").read_text()


def test_a_plan_beside_a_recipe_is_stored_with_the_run(images, slow_steps, tmp_path, monkeypatch):
    monkeypatch.setenv("AUXFACE_CACHE", str(tmp_path / "cache"))
    data, recipe = _manifest(images, "beside"), tmp_path / "recipe.yaml"
    monkeypatch.setattr(choosing, "measure_baselines", lambda manifest, recipe: {"kind": {"hog": 0.99}})
    plan(data, recipe, budget="70s", device="cpu")
    small = ["train.epochs=1", "encoder.image_size=64", "encoder.name=resnet10t"]
    saved = train(recipe, data, tmp_path / "run", overrides=small, device="cpu")
    assert saved.config.provenance["validation"]["kind"]["baselines"] == {"hog": 0.99}
    assert "the model is no better than the simple baselines on kind;" in saved.config.provenance["conclusions"][-1]


def test_a_budget_without_auto_is_an_error(images, tmp_path):
    with pytest.raises(InputError, match="--budget applies only to recipe auto"):
        train("supervised", _manifest(images, "given"), tmp_path / "run", budget="5m", device="cpu")
