"""Simple baselines for a manifest: logistic regression on HOG features, and on features of the initial encoder.

If a trained model does not outperform these baselines, something is wrong with its training. Both baselines are
evaluated on the validation split with the metric that selects weights in training. This takes about a minute, because
at most 4,000 training images and 2,000 validation images are used and features are reduced to 256 principal components.
``auxface evaluate`` uses the same functions for its probe on frozen features.

Example::

    found = measure_baselines(read_manifest(Path("faces.parquet")), recipe)
    found["gender"]["hog"]     # balanced accuracy of HOG and logistic regression
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from auxface.data.images.decode import UnreadableImage, fit_square, read_image
from auxface.data.manifest import Manifest
from auxface.encoders.pretrained import packaged_weights
from auxface.errors import InputError
from auxface.model import JointModel
from auxface.model.scoring import pooled_features
from auxface.objectives import LearnedTask
from auxface.objectives.validation_figures import classification_figure
from auxface.progress import progress_bar
from auxface.recipe import Encoder, Recipe
from auxface.recipe.sections import PACKAGED, PACKAGED_ENCODER
from auxface.sample_kind import kind_of
from auxface.texture import describe
from auxface.training.sampling import labeled_rows
from auxface.training.tasks import label_tensors, tasks_for

NAMES = {"hog": "HOG + logistic regression", "frozen": "frozen features + logistic regression"}
# Maximum number of training images, and of images on which a baseline is measured.
TRAINING_ROWS, MEASURED_ROWS = 4000, 2000
_COMPONENTS, _HOG_SIDE, _FROZEN_SIDE, _AT_ONCE = 256, 64, 96, 512
# With 256 whitened components, both strengths are nearly optimal on the data sets that were tested.
_STRENGTHS = (1e-3, 1e-2)

Extractor = Callable[[np.ndarray], np.ndarray]
"""A function that takes images, uint8 [N, 3, S, S], and returns their features [N, D]."""


def measure_baselines(manifest: Manifest, recipe: Recipe) -> dict[str, dict[str, float]]:
    """Return the balanced accuracy of the simple baselines of each task on the validation split.

    Args:
        manifest: manifest of images.
        recipe: recipe whose encoder computes the frozen features with its initial weights. Encoders with random initial
            weights are not evaluated.

    Returns:
        Balanced accuracy by task and baseline (``hog``, ``frozen``). Ordinal tasks and values that cannot be computed
        are absent.
    """
    tasks = tuple(task for task in tasks_for(recipe, manifest) if task.kind != "ordinal")
    parts, labels = {}, {}
    size = recipe.encoder.image_size
    for split, most in (("train", TRAINING_ROWS), ("val", MEASURED_ROWS)):
        rows = manifest.only(split)
        rows = replace(rows, table=rows.table[labeled_rows(rows.table, tasks)].reset_index(drop=True))
        part, images = read_rows(rows, spaced_rows(len(rows.table), most), size, name=split)
        parts[split] = images
        labels[split] = {name: values.numpy() for name, values in label_tensors(part, tasks).items()}
    extractors: dict[str, Extractor] = {"hog": hog_features}
    if recipe.encoder.pretrained or recipe.encoder.init_from is not None:
        supervised = recipe.model_copy(update={"auxiliary": None, "auxiliaries": {}, "primary_weight": 1.0})
        model = JointModel(supervised, tasks)
        extractors["frozen"] = lambda images: pooled_features(model, images).numpy()
    found: dict[str, dict[str, float]] = {task.name: {} for task in tasks}
    with progress_bar("baselines", len(extractors) * len(tasks), "fits") as advance:
        for name, extract in extractors.items():
            inputs = {split: extract(images) for split, images in parts.items()}
            train, validation = reduce_features(inputs["train"], inputs["val"])
            reduced = {"train": train, "val": validation}
            for task in tasks:
                value = _best_figure(task, reduced, labels)
                if value is not None:
                    found[task.name][name] = round(value, 4)
                advance()
    return found


def spaced_rows(count: int, most: int) -> np.ndarray:
    """Return at most ``most`` evenly spaced row numbers of a table of ``count`` rows."""
    return np.unique(np.linspace(0, count - 1, most).astype(int))


def read_rows(
    manifest: Manifest, rows: np.ndarray, size: int, *, crop: float = 1.0, name: str
) -> tuple[Manifest, np.ndarray]:
    """Return the readable rows among the given rows of a manifest, and their images, uint8 [N, 3, size, size].

    Args:
        manifest: manifest of image files.
        rows: row numbers.
        size: side of the images in pixels.
        crop: side of the central square that is kept, as a fraction of the shorter side.
        name: name of the rows in the progress bar.
    """
    paths = manifest.paths()
    kept, images = [], []
    with progress_bar(f"read {name}", len(rows), kind_of(manifest.crop).images) as advance:
        for row in rows:
            try:
                images.append(fit_square(read_image(paths[row]), size, crop).transpose(2, 0, 1))
                kept.append(row)
            except UnreadableImage:
                pass
            advance()
    table = manifest.table.iloc[kept].reset_index(drop=True)
    return replace(manifest, table=table), np.stack(images) if images else np.empty((0, 3, size, size), np.uint8)


def hog_features(images: np.ndarray) -> np.ndarray:
    """Return HOG features of images resized to 64 x 64: cells of 8 x 8, blocks of 2 x 2 cells, 9 orientations."""
    parts = []
    for start in range(0, len(images), _AT_ONCE):
        batch = torch.from_numpy(images[start : start + _AT_ONCE]).float().mean(1, keepdim=True)
        small = torch.nn.functional.interpolate(batch, (_HOG_SIDE, _HOG_SIDE), mode="bilinear", antialias=True)
        gray = small.round().clamp(0, 255).to(torch.uint8)
        parts.append(np.asarray(describe(gray, "histogram_of_oriented_gradients", block=2)).reshape(len(batch), -1))
    return np.concatenate(parts)


def frozen_features(device: str) -> tuple[str, Extractor]:
    """Return the name and the function of general features: ImageNet features if available, otherwise HOG.

    The encoder has the packaged weights, which the extra ``weights`` installs, and reads images resized to 96 pixels.

    Args:
        device: device of the encoder, such as ``cpu``.
    """
    try:
        packaged_weights()
    except InputError:
        return "HOG", hog_features
    half = (0.5, 0.5, 0.5)
    encoder = Encoder(name=PACKAGED_ENCODER, init_from=PACKAGED, image_size=_FROZEN_SIDE, mean=half, std=half)
    model = JointModel(
        Recipe(encoder=encoder, primary_weight=1.0), (LearnedTask("unused", "binary", ("no", "yes")),)
    ).to(device)
    return f"{PACKAGED_ENCODER}, ImageNet", lambda images: pooled_features(model, images).numpy()


def reduce_features(train: np.ndarray, *others: np.ndarray) -> list[np.ndarray]:
    """Return features [N, D] as at most 256 whitened principal components of the standardized training features."""
    # N centered rows have N - 1 directions; whitening would divide the last direction by a rounding error.
    rank = max(1, min(_COMPONENTS, len(train) - 1, train.shape[1]))
    reduce = make_pipeline(StandardScaler(), PCA(rank, whiten=True, svd_solver="randomized", random_state=0))
    return [reduce.fit_transform(train), *map(reduce.transform, others)]


def _best_figure(
    task: LearnedTask, inputs: Mapping[str, np.ndarray], labels: Mapping[str, Mapping[str, np.ndarray]]
) -> float | None:
    targets = {split: each[task.name] for split, each in labels.items()}
    figures = []
    for strength in _STRENGTHS:
        logits = regression_logits(task, inputs["train"], targets["train"], inputs["val"], strength)
        value = classification_figure(
            "balanced_accuracy", (task,), {task.name: logits}, {task.name: torch.from_numpy(targets["val"])}
        )
        figures += [] if value is None else [value]
    return max(figures, default=None)


def regression_logits(
    task: LearnedTask, train: np.ndarray, target: np.ndarray, measured: np.ndarray, strength: float = 1e-2
) -> np.ndarray:
    """Fit logistic regressions with balanced class weights; return the logits of the measured rows, [N, outputs].

    Args:
        task: classes or attributes to predict.
        train: features of the training rows, [M, D].
        target: labels of the training rows, as :func:`~auxface.training.tasks.label_tensors` returns them.
        measured: features of the measured rows, [N, D].
        strength: inverse strength of the regularization, as in scikit-learn.
    """
    columns = target.reshape(len(target), -1)
    logits = np.full((len(measured), task.outputs), -1e4 if task.kind == "class" else 0.0, dtype=np.float32)
    for number, values in enumerate(columns.T):
        known = ~np.isnan(values) if task.kind != "class" else values >= 0
        classes = np.unique(values[known])
        if len(classes) < 2:
            continue
        model = LogisticRegression(C=strength, class_weight="balanced", max_iter=100)
        scores = model.fit(train[known], values[known].astype(int)).decision_function(measured)
        if task.kind != "class":
            logits[:, number] = scores
        elif scores.ndim == 1:
            logits[:, model.classes_] = np.stack([-scores, scores], axis=1)
        else:
            logits[:, model.classes_] = scores
    return logits
