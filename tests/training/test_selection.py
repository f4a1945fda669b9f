"""Selection of the best epoch; validation of videos, which equals the video level of an audit; batches of clips."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import expit, softmax
from sklearn.metrics import roc_auc_score

from auxface import evaluation
from auxface.data.manifest import Manifest
from auxface.evaluation.clusters import video_level as audited
from auxface.model import JointModel
from auxface.model.scoring import pooled_features
from auxface.objectives import LearnedTask, TrainingSet
from auxface.objectives.validation_figures import classification_figure
from auxface.recipe import load_recipe
from auxface.training.data_loader import DataLoader
from auxface.training.selection import is_better, video_level, video_numbers

FORGED = LearnedTask("forged", "binary", ("real", "fake"))
EMOTION = LearnedTask("emotion", "class", ("happy", "sad", "angry"))
SMALL = ("encoder.image_size=32", "encoder.num_frames=4", "encoder.width=24", "encoder.depth=1", "encoder.heads=2")


def clips_of_videos(seed=0, videos=12):
    random = np.random.default_rng(seed)
    video = random.permutation(np.repeat(np.arange(videos), random.integers(1, 5, videos)))
    logits = {"forged": random.normal(0, 3, (len(video), 1)), "emotion": random.normal(0, 2, (len(video), 3))}
    labels = {"forged": torch.from_numpy((video % 2).astype(np.float32)), "emotion": torch.from_numpy(video % 3)}
    return video, {name: values.astype(np.float32) for name, values in logits.items()}, labels


def test_an_equal_figure_keeps_the_earlier_epoch():
    assert is_better(0.8, 0.7)
    assert not is_better(0.8, 0.8)
    assert not is_better(0.7, 0.8)


def test_the_later_epoch_is_kept_if_a_figure_is_missing():
    assert is_better(None, None)
    assert is_better(None, 0.8)
    assert is_better(0.1, None)


def test_a_video_score_is_the_mean_of_its_clip_scores():
    video, logits, labels = clips_of_videos()
    pooled, targets = video_level((FORGED, EMOTION), logits, labels, video)
    for at, number in enumerate(np.unique(video)):
        rows = video == number
        assert expit(pooled["forged"][at, 0]) == pytest.approx(expit(logits["forged"][rows, 0]).mean(), abs=1e-5)
        mean = softmax(logits["emotion"][rows], axis=1).mean(axis=0)
        np.testing.assert_allclose(softmax(pooled["emotion"][at]), mean, atol=1e-5)
        assert (targets["forged"][at], targets["emotion"][at]) == (number % 2, number % 3)


def test_video_level_equals_that_of_an_audit():
    video, logits, labels = clips_of_videos(seed=3)
    pooled, targets = video_level((FORGED,), logits, labels, video)
    columns = {"dataset": "d", "method": "", "source": "s", "video": [f"v{n:02d}" for n in video], "split": "val"}
    columns |= {"frame": np.arange(len(video)), "true.forged": labels["forged"].numpy().astype(int)}
    frame = pd.DataFrame(columns | {"score.forged.fake": expit(logits["forged"][:, 0])})
    task = evaluation.ScoredTask("forged", "binary", ("real", "fake"))
    found = audited(evaluation.Predictions(frame, (task,)), task)
    assert found is not None
    table = found[0].frame.sort_values("video")
    np.testing.assert_allclose(expit(pooled["forged"][:, 0]), table["score.forged.fake"], atol=1e-5)
    assert roc_auc_score(targets["forged"], pooled["forged"][:, 0]) == pytest.approx(
        roc_auc_score(table["true.forged"], table["score.forged.fake"])
    )
    assert 0 <= classification_figure("balanced_accuracy", (FORGED,), pooled, targets) <= 1


def test_a_label_that_changes_within_a_video_keeps_its_clips():
    video, logits, labels = clips_of_videos()
    labels["emotion"] = torch.arange(len(video)) % 3
    pooled, targets = video_level((FORGED, EMOTION), logits, labels, video)
    assert len(pooled["forged"]) == len(np.unique(video))
    assert np.array_equal(pooled["emotion"], logits["emotion"])
    assert torch.equal(targets["emotion"], labels["emotion"])


def test_a_video_is_dataset_method_source_and_video():
    table = pd.DataFrame(
        {"dataset": list("aaab"), "method": ["", "x", "", ""], "source": "s", "video": "v", "frame": range(4)}
    )
    assert video_numbers(table).tolist() == [0, 1, 0, 2]


@pytest.mark.parametrize(("mixup", "cutmix"), [(0.0, 0.0), (0.4, 0.0), (0.0, 1.0)])
def test_a_clip_batch_has_mixed_images_and_requested_views(mixup, cutmix):
    recipe = load_recipe(
        "l_ssat_video",
        [*SMALL, "auxiliaries={cluster_contrast: {weight: 0.5, clusters: kmeans}}", "train.augment=ssat"],
    )
    model = JointModel(recipe, [FORGED])
    images = np.random.default_rng(0).integers(0, 256, (6, 4, 3, 40, 40)).astype(np.uint8)
    labels = {"forged": torch.tensor([0.0, 1, 0, 1, 0, 1])}
    loader = DataLoader(
        images=images,
        labels=labels,
        seed=0,
        batch_size=6,
        augment="ssat",
        size=32,
        mixup=mixup,
        cutmix=cutmix,
        views=model.views,
    )
    batch = loader.batch(torch.arange(6), 0, torch.device("cpu"))
    assert batch.primary.shape == batch.clean.shape == (6, 4, 3, 32, 32)
    assert {view.images.shape for view in batch.views.values()} == {(6, 4, 3, 32, 32)}
    assert {view.affine.shape for view in batch.views.values()} == {(6, 2, 3)}
    if mixup or cutmix:
        assert batch.mixed.primary.shape == batch.primary.shape
    if cutmix:
        # CutMix replaces the same rectangle in every frame.
        changed = (batch.mixed.primary != batch.primary).any(dim=2)
        assert (changed.float().mean(dim=(2, 3)).std(dim=1) < 0.02).all()
    rows = Manifest(pd.DataFrame({"path": [str(number) for number in range(6)]}), {})
    training = TrainingSet(rows, lambda: pooled_features(model, images[..., :32, :32]))
    model.before_training(training)
    model.before_epoch(training, 0)
    loss = model(batch).loss
    loss.backward()
    assert torch.isfinite(loss)
    assert model.encoder.patches.weight.grad.abs().sum() > 0


def test_training_works_after_reconstruct_without_gradients():
    model = JointModel(load_recipe("l_ssat_video", list(SMALL)), [FORGED])
    images = np.random.default_rng(0).integers(0, 256, (2, 4, 3, 32, 32)).astype(np.uint8)
    loader = DataLoader(
        images=images, labels={"forged": torch.tensor([0.0, 1.0])}, seed=0, batch_size=2, augment="none", size=32
    )
    batch = loader.batch(torch.arange(2), 0, torch.device("cpu"))
    model.auxiliaries["reconstruction"].reconstruct(model.encoder, batch)
    model(batch)[0].backward()
    assert model.encoder.patches.weight.grad is not None
