"""Every packaged recipe learns, on synthetic data: one case per recipe, some minutes each.

    pytest -m slow tests/model/test_recipes_learn.py -s -k "lafs or metric"

Supervised recipes learn single labels, attributes and whether a face is forged, all at once, on one encoder. Recipes of
metric learning learn to verify people, ``music_metric`` learns to retrieve instruments, and ``pretrain`` learns to
reconstruct. All are measured on people or tracks that were not trained. The image encoder is the smallest residual
network of timm, which learns in seconds what a Vision Transformer from scratch does not learn in minutes; the video
encoder is a small VideoMAE. docs/method.md, docs/identity.md and docs/music.md have the results.
"""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from scipy.stats import rankdata
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from auxface.data.manifest import Label, read_manifest, write_manifest
from auxface.data.prepare.prepare import prepare
from auxface.data.samples import load_samples
from auxface.evaluation import measure_retrieval
from auxface.inference.embed import embed
from auxface.inference.verify import verify
from auxface.model.scoring import score_images
from auxface.recipe import load_recipe, recipe_names
from auxface.training.logging import read_log
from auxface.training.tasks import label_tensors
from auxface.training.train import train

SIZE = 48
ENCODER = ("encoder.name=test_resnet", f"encoder.image_size={SIZE}", "encoder.output_stride=8")
# Validation follows the last epoch, whose weights are then kept.
RATE = ("train.batch_size=32", "train.base_learning_rate=0.024")
TASKS = "tasks=[emotion, attributes, forged]"
# With fewer faces seen more often, texture maps are learned by heart.
FACES = 8000
# Images of six hundred people, with four images each.
PEOPLE = 2400
SETTINGS = (TASKS, *ENCODER, *RATE, "train.augment=none", "train.epochs=4", "train.validate_every=4")
DECODER = ("auxiliary.decoder_width=32", "auxiliary.decoder_depth=1", "auxiliary.decoder_heads=4")
PEOPLE_SETTINGS = ("tasks=[person]", *ENCODER, *RATE, "train.epochs=16", "train.validate_every=16")
HEAD = ("auxiliaries.lafs.head_width=256", "auxiliaries.lafs.prototypes=512", "auxiliaries.lafs.local_views=2")
MUSIC_SETTINGS = (*ENCODER, *RATE, "train.epochs=16", "train.validate_every=16")
PRETRAINING = (*ENCODER, *RATE, "train.epochs=3", "train.validate_every=1")
CLIPS = 5000
CLIP_SETTINGS = (
    TASKS,
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


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faces")
    data = folder / "faces.parquet"
    prepare("synthetic", folder / "faces", out=data, options={"count": FACES, "seed": 3, "size": SIZE})
    return data


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """Synthetic people with the identity label ``person``; the test people are not in the training split."""
    folder = tmp_path_factory.mktemp("people")
    data = folder / "people.parquet"
    prepare("synthetic", folder / "faces", out=data, options={"count": PEOPLE, "seed": 5, "size": SIZE})
    found = read_manifest(data)
    table = found.table.assign(person=found.table["source"])
    write_manifest(replace(found, table=table, labels={"person": Label("identity")}), data)
    assert not set(table.loc[table["split"] == "train", "person"]) & set(table.loc[table["split"] == "test", "person"])
    return data


def learns_tasks(recipe, data, folder):
    """Assert that every task is better than all 999 random permutations of the labels over people."""
    decoder = () if load_recipe(recipe).auxiliary is None else DECODER
    saved = train(recipe, data, folder / "run", overrides=[*SETTINGS, *decoder], device="cpu")
    assert not_learned(recipe, saved.model, read_manifest(data), shuffles_of_people) == []


def learns_clips(recipe, data, folder):
    """Assert the same for H.264 files of four frames; long, because emotions are learned only after the flicker."""
    clips = folder / "clips.parquet"
    options = {"count": CLIPS, "seed": 3, "size": SIZE, "length": 4}
    prepare("synthetic_clips", folder / "clips", out=clips, options=options)
    saved = train(recipe, clips, folder / "run", overrides=[*CLIP_SETTINGS, *DECODER], device="cpu")
    assert not_learned(recipe, saved.model, read_manifest(clips), shuffles_of_people_and_clips) == []


def learns_to_reconstruct(recipe, data, folder):
    """Assert that the loss falls and that hidden patches are predicted better than by a constant."""
    train(recipe, data, folder / "run", overrides=[*PRETRAINING, *DECODER], device="cpu")
    log = read_log(folder / "run" / "log.jsonl")
    loss, skill = log["loss"], log["val.skill"]
    print(f"{recipe}: loss {loss.iloc[0]:.3f} to {loss.iloc[-1]:.3f}, skill {skill.iloc[-1]:.3f}", flush=True)
    assert loss.iloc[-1] < loss.iloc[0]
    assert skill.iloc[-1] > 0.02


def learns_people(recipe, data, folder):
    """Assert that people who were not trained are verified above chance and above the cosine of raw pixels."""
    head = HEAD if recipe == "lafs" else ()
    run = folder / "run"
    train(recipe, data, run, overrides=[*PEOPLE_SETTINGS, *head], device="cpu")
    report = verify(run, data, "person", folder / "eval", resamples=200, device="cpu")
    auc = report["tasks"]["same_person"]["overall"]["auc"]
    pixels = report["baselines"]["raw pixels"]["overall"]["auc"]
    lead = report["auc_differences"]["raw pixels"]
    for name, each in ((recipe, auc), ("raw pixels", pixels), ("difference", lead)):
        print(f"{name}: AUC {each['value']:.3f} ({each['low']:.3f} to {each['high']:.3f})", flush=True)
    assert auc["low"] > 0.6
    assert lead["low"] > 0


def learns_instruments(recipe, data, folder):
    """Assert that retrieval by instrument is better than by mean spectra, outside the interval by track."""
    tracks = folder / "tracks.parquet"
    options = {"count": 420, "size": SIZE, "length": 9.0, "split_fractions": "0.7,0.05,0.25"}
    prepare("synthetic_tracks", folder / "audio", out=tracks, crops=folder / "images", options=options)
    train(recipe, tracks, folder / "run", overrides=list(MUSIC_SETTINGS), device="cpu")
    found = embed(folder / "run", tracks, folder / "test.parquet", split="test", device="cpu")
    test = read_manifest(tracks).only("test")
    instruments, clusters = test.table["instrument"], test.table["source"]
    model = measure_retrieval(found.vectors, instruments, clusters=clusters)["map_at_r"]
    baseline = measure_retrieval(mean_spectra(test.paths()), instruments, clusters=clusters)["map_at_r"]
    for name, each in ((recipe, model), ("mean spectrum", baseline)):
        print(f"{name}: MAP at R {each.value:.3f} ({each.low:.3f} to {each.high:.3f})", flush=True)
    assert model.low > baseline.value


def mean_spectra(paths):
    """Return the unit vectors of the centered mean over time of each log-mel image."""
    spectra = np.stack([np.asarray(Image.open(path), dtype=float).mean(axis=1) for path in paths])
    spectra -= spectra.mean(axis=0)
    return spectra / np.linalg.norm(spectra, axis=1, keepdims=True)


# The data and the assertion of each recipe; all other recipes learn tasks on faces.
CASES = {
    "l_ssat_video": (None, learns_clips),
    "lafs": ("people", learns_people),
    "metric_learning": ("people", learns_people),
    "metric_ntxent": ("people", learns_people),
    "music_metric": (None, learns_instruments),
    "pretrain": ("faces", learns_to_reconstruct),
}


@pytest.mark.slow
@pytest.mark.timeout(5400)
@pytest.mark.parametrize("recipe", recipe_names())
def test_every_recipe_learns(recipe, request, tmp_path):
    data, learns = CASES.get(recipe, ("faces", learns_tasks))
    learns(recipe, request.getfixturevalue(data) if data else None, tmp_path)
