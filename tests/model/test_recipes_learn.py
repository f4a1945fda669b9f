"""Every preset learns every kind of task: single labels, attributes, and whether a face is forged.

Each preset learns the three at once, on one encoder, and is measured on people that it has not seen. The encoder of
images is the smallest residual network of timm, which learns in seconds what a Vision Transformer from scratch does
not in minutes; that of clips is a small VideoMAE. docs/method.md has the figures.
"""

import numpy as np
import pytest
from scipy.stats import rankdata
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from auxface.data.manifest import read_manifest
from auxface.data.prepare.prepare import prepare
from auxface.data.samples import load_samples
from auxface.model.scoring import score_images
from auxface.recipe import load_recipe, recipe_names
from auxface.training.tasks import label_tensors
from auxface.training.train import train

SIZE = 48
# With fewer faces seen more often, texture maps are learned by heart.
FACES = 8000
SETTINGS = (
    "tasks=[emotion, attributes, forged]",
    "encoder.name=test_resnet",
    f"encoder.image_size={SIZE}",
    "encoder.output_stride=8",
    "train.batch_size=32",
    "train.base_learning_rate=0.024",
    "train.augment=none",
    "train.epochs=4",
    # Looked at once, so that the last weights are kept.
    "train.validate_every=4",
)
DECODER = ("auxiliary.decoder_width=32", "auxiliary.decoder_depth=1", "auxiliary.decoder_heads=4")
# Pre-training learns no task.
PRESETS = tuple(name for name in recipe_names() if "video" not in name and name != "pretrain")
CLIPS = 5000
CLIP_SETTINGS = (
    "tasks=[emotion, attributes, forged]",
    f"encoder.image_size={SIZE}",
    "encoder.num_frames=4",
    "encoder.patch_size=8",
    "encoder.width=96",
    "encoder.depth=3",
    "clips.stride=1",
    "clips.per_video=1",
    "train.batch_size=32",
    "train.base_learning_rate=0.008",
    "train.epochs=50",
    "train.validate_every=5",
)
SHUFFLES = 999


def balanced_accuracies(truth, predicted):
    """Balanced accuracy of predictions [N] against each row of truths [S, N]."""
    classes, counts = np.unique(truth[0], return_counts=True)
    weight = np.zeros(classes.max() + 1)
    weight[classes] = 1 / (counts * len(classes))
    return ((truth == predicted) * weight[truth]).sum(axis=1)


def mean_aucs(truth, scores):
    """The mean over columns of the AUC of scores [N, A] against truths [S, N, A]; without columns of one value."""
    found = []
    for column in range(scores.shape[1]):
        positive = truth[0, :, column].sum()
        negative = len(scores) - positive
        if min(positive, negative) > 0.02 * len(scores):
            ranks = truth[:, :, column] @ rankdata(scores[:, column])
            found.append((ranks - positive * (positive + 1) / 2) / (positive * negative))
    return np.mean(found, axis=0)


def shuffles_of_people(sources):
    """Orders of rows [people, each] in which people have changed places, the true order first; theirs stay together."""
    people, each = sources.shape
    rng = np.random.default_rng(0)
    orders = np.stack([np.arange(people), *(rng.permutation(people) for _ in range(SHUFFLES))])
    return (orders[:, :, None] * each + np.arange(each)).reshape(len(orders), people * each)


def shuffles_of_people_and_clips(sources):
    """The same, and each person's clips change places too: the first of them is always real, the second forged."""
    orders = shuffles_of_people(sources).reshape(-1, *sources.shape)
    orders[1:] = np.random.default_rng(1).permuted(orders[1:], axis=2)
    return orders.reshape(len(orders), -1)


def figures_on_test(model, manifest, shuffles):
    """Per task: the figure, and the largest that it takes when the labels of people are dealt out at random."""
    part = load_samples(manifest.only("test"), "test", model.recipe)
    people = part.manifest.table["source"].nunique()
    sources = part.manifest.table["source"].to_numpy().reshape(people, -1)
    assert (sources == sources[:, :1]).all()
    logits, labels = score_images(model, part.images), label_tensors(part.manifest, model.tasks)
    orders = shuffles(sources)
    found = {}
    for task in model.tasks:
        truth = labels[task.name].numpy()
        if task.kind == "class":
            values = balanced_accuracies(truth[orders], logits[task.name].argmax(axis=1))
        else:
            values = mean_aucs(truth.reshape(len(truth), -1)[orders], logits[task.name])
        found[task.name] = (float(values[0]), float(values[1:].max()))
    return found


def not_learned(preset, model, manifest, shuffles):
    """Print the row of docs/method.md; the tasks whose figure chance reaches too."""
    found = figures_on_test(model, manifest, shuffles)
    cells = " | ".join(f"{figure:.3f} ({chance:.3f})" for figure, chance in found.values())
    print(f"| `{preset}` | {cells} |", flush=True)
    return [(preset, task, *pair) for task, pair in found.items() if pair[0] <= pair[1]]


def test_the_figures_are_those_of_scikit_learn():
    rng = np.random.default_rng(1)
    truth, scores = rng.integers(0, 3, 60), rng.normal(size=(60, 3))
    wanted = balanced_accuracy_score(truth, scores.argmax(axis=1))
    assert balanced_accuracies(truth[None], scores.argmax(axis=1))[0] == pytest.approx(wanted)
    binary = rng.integers(0, 2, (60, 3))
    wanted = np.mean([roc_auc_score(binary[:, place], scores[:, place]) for place in range(3)])
    assert mean_aucs(binary[None].astype(float), scores)[0] == pytest.approx(wanted)


@pytest.mark.slow
@pytest.mark.timeout(5400)
def test_every_image_recipe_learns_every_kind_of_task(tmp_path):
    """Better than chance: than all 999 ways of dealing people's labels out anew. Some fifteen minutes on one core."""
    data = tmp_path / "faces.parquet"
    prepare("synthetic", tmp_path / "faces", out=data, options={"count": FACES, "seed": 3, "size": SIZE})
    manifest = read_manifest(data)
    failed = []
    for preset in PRESETS:
        decoder = () if load_recipe(preset).auxiliary is None else DECODER
        saved = train(preset, data, tmp_path / preset, overrides=[*SETTINGS, *decoder], device="cpu")
        failed += not_learned(preset, saved.model, manifest, shuffles_of_people)
    assert failed == []


@pytest.mark.slow
@pytest.mark.timeout(5400)
def test_the_video_recipe_learns_every_kind_of_task(tmp_path):
    """The same of H.264 files of four frames; long, since emotions are learned only after the flicker is."""
    data = tmp_path / "clips.parquet"
    options = {"count": CLIPS, "seed": 3, "size": SIZE, "length": 4}
    prepare("synthetic_clips", tmp_path / "clips", out=data, options=options)
    overrides = [*CLIP_SETTINGS, *DECODER]
    saved = train("l_ssat_video", data, tmp_path / "run", overrides=overrides, device="cpu")
    assert not_learned("l_ssat_video", saved.model, read_manifest(data), shuffles_of_people_and_clips) == []
