"""Logs, validation and best weights when objectives alternate; clusters in a resumed run."""

import numpy as np
import pandas as pd
import pytest
import torch

from auxface.data.manifest import Label, Manifest
from auxface.model import JointModel
from auxface.model.card import model_card
from auxface.model.config import ModelConfig
from auxface.model.scoring import pooled_features
from auxface.objectives import LearnedTask, TrainingSet
from auxface.recipe import Encoder, Recipe, ReconstructionOptions, Scheme, Train
from auxface.training.data_loader import DataLoader
from auxface.training.logging import read_log
from auxface.training.loop import run_training
from auxface.training.selection import Validation

TASK = LearnedTask("shade", "class", ("dark", "light"))
DECODER = ReconstructionOptions(decoder_width=32, decoder_depth=1, decoder_heads=4)


def recipe_with(*, epochs=4, **settings):
    return Recipe(
        **{"primary_weight": 1.0, "auxiliary": DECODER} | settings,
        encoder=Encoder(image_size=32, patch_size=8, width=32, depth=1, heads=4),
        train=Train(epochs=epochs, batch_size=8, precision="fp32", augment="none"),
    )


def faces(count=32, seed=0):
    generator = np.random.default_rng(seed)
    labels = torch.from_numpy(generator.integers(0, 2, count))
    images = generator.integers(0, 120, (count, 3, 32, 32)) + labels.numpy()[:, None, None, None] * 60
    return images.astype(np.uint8), {"shade": labels}


def run(folder, recipe, *, break_after=None):
    """Train on 32 faces, four steps per epoch; interrupt after ``break_after`` steps and return None."""
    images, labels = faces()
    table = pd.DataFrame({"shade": ["dark", "light"] * 16, "kind": list("abcd") * 8})
    manifest = Manifest(table, {"shade": Label("class", ("dark", "light")), "kind": Label("class", tuple("abcd"))})
    model = JointModel(recipe, [TASK])
    training = TrainingSet(manifest, lambda: pooled_features(model, images))
    model.before_training(training)
    loader = DataLoader(
        images=images, labels=labels, seed=recipe.seed, batch_size=8, augment="none", size=32, views=model.views
    )
    folder.mkdir(exist_ok=True)

    class Stopped(Exception):
        pass

    done = 0

    def advance(count, note="", **_):
        nonlocal done
        done += count
        if break_after is not None and done > break_after:
            raise Stopped

    try:
        return run_training(
            model, loader, Validation(*faces(16, 1)), folder=folder, device="cpu", training=training, advance=advance
        )
    except Stopped:
        return None


def epochs_of(folder):
    return read_log(folder / "log.jsonl")


def test_a_logged_loss_is_the_mean_over_steps_that_have_it(tmp_path):
    run(tmp_path / "run", recipe_with(scheme=Scheme(kind="alternating"), epochs=1))
    (entry,) = epochs_of(tmp_path / "run").to_dict("records")
    # Of four steps, two train each objective.
    assert entry["loss"] == pytest.approx((entry["primary.shade"] + entry["reconstruction.rgb"]) / 2, rel=1e-5)
    (logged,) = read_log(tmp_path / "run" / "steps.jsonl").to_dict("records")
    assert logged["primary.shade"] == pytest.approx(entry["primary.shade"])


@pytest.mark.parametrize("kind", ["sequential", "frozen"])
def test_untrained_heads_are_not_validated(tmp_path, kind):
    trained = run(tmp_path / "run", recipe_with(scheme=Scheme(kind=kind, pretrain_fraction=0.5)))
    log = epochs_of(tmp_path / "run")
    assert log["val.balanced_accuracy"].isna().tolist() == [True, True, False, False]
    assert log["primary.shade"].isna().tolist() == [True, True, False, False]
    assert log["reconstruction.rgb"].isna().tolist() == [False, False, True, True]
    assert trained.best_epoch in (3, 4)


def test_an_epoch_that_trains_heads_at_its_end_is_validated(tmp_path):
    trained = run(tmp_path / "run", recipe_with(scheme=Scheme(kind="sequential", pretrain_fraction=0.9), epochs=2))
    assert trained.best_epoch == 2
    assert trained.best_value is not None


def test_epochs_before_the_heads_train_use_no_patience(tmp_path):
    recipe = recipe_with(scheme=Scheme(kind="sequential", pretrain_fraction=0.5), epochs=6)
    recipe = recipe.model_copy(update={"train": recipe.train.model_copy(update={"patience": 1})})
    trained = run(tmp_path / "run", recipe)
    assert trained.best_epoch >= 4


@pytest.mark.parametrize(
    ("settings", "views"),
    [
        ({"primary_weight": 0.5}, 2),
        ({"primary_weight": 1.0}, 0),
        ({"scheme": Scheme(kind="alternating")}, 2),
        ({"scheme": Scheme(kind="sequential", pretrain_fraction=0.0)}, 0),
        ({"primary_weight": 0.5, "auxiliaries": {"cluster_contrast": {"weight": 0}}}, 0),
    ],
)
def test_an_auxiliary_of_weight_zero_has_no_views_or_clusters(settings, views):
    settings = {"auxiliaries": {"cluster_contrast": {"clusters": "kmeans"}}} | settings
    model = JointModel(recipe_with(**settings), [TASK])
    model.before_training(TrainingSet(Manifest(pd.DataFrame({"shade": ["dark"]}), {}), lambda: torch.empty(0)))
    assert len(model.views) == views
    assert (model.auxiliaries["cluster_contrast"].clusters is not None) == bool(views)


def contrasting(clusters, epochs=4):
    options = {"clusters": clusters, "every": 2, "n_clusters": 4, "projector_width": 16}
    return recipe_with(primary_weight=0.3, auxiliary=None, auxiliaries={"cluster_contrast": options}, epochs=epochs)


@pytest.mark.parametrize("clusters", ["labels", "kmeans"])
def test_cluster_information_is_in_the_log_and_the_card(tmp_path, clusters):
    trained = run(tmp_path / "run", contrasting(clusters, epochs=3))
    log = epochs_of(tmp_path / "run")
    known, left = (log[f"cluster_contrast.{name}.shade"] for name in ("mutual_information", "conditional_entropy"))
    np.testing.assert_allclose(log["cluster_contrast.entropy"], known + left, rtol=1e-6)
    if clusters == "labels":
        # Kinds a and c are dark, b and d light: of ln 4 nats, ln 2 are shared with the label and ln 2 are not.
        np.testing.assert_allclose(known, np.log(2))
        np.testing.assert_allclose(left, np.log(2))
    else:
        # Each image is its own cluster until the first k-means, before the third epoch.
        np.testing.assert_allclose(log["cluster_contrast.entropy"].iloc[:2], np.log(32))
        assert log["cluster_contrast.entropy"].iloc[2] <= np.log(4) + 1e-9
    config: ModelConfig = trained.model.default_config().model_copy(
        update={"provenance": {"objectives": trained.model.report()}}
    )
    card = model_card(config)
    assert f"| cluster contrast, conditional entropy, shade | {left.iloc[-1]:.4f} |" in card
    assert "objectives" not in card.split("## Provenance")[1]


def test_a_card_without_auxiliary_figures_has_no_section(tmp_path):
    config = JointModel(recipe_with(), [TASK]).default_config()
    card = model_card(config.model_copy(update={"provenance": {"objectives": {}, "seed": 0}}))
    assert "objectives" not in card
    assert "found" not in card


@pytest.mark.parametrize("break_after", [8, 12])
def test_resumed_cluster_contrast_equals_an_uninterrupted_run(tmp_path, break_after):
    # k-means runs before the third epoch, that is after step 8; step 12 is the last of that epoch.
    uninterrupted = run(tmp_path / "a", contrasting("kmeans", epochs=5))
    assert run(tmp_path / "b", contrasting("kmeans", epochs=5), break_after=break_after) is None
    resumed = run(tmp_path / "b", contrasting("kmeans", epochs=5))
    weights = [trained.model.state_dict() for trained in (uninterrupted, resumed)]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())
    state = [trained.model.objective_state()["cluster_contrast/clusters"] for trained in (uninterrupted, resumed)]
    assert torch.equal(*state)
    logs = [epochs_of(tmp_path / name).drop(columns="seconds") for name in "ab"]
    pd.testing.assert_frame_equal(*logs)
