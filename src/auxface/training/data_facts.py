"""The facts that a plan reads from a manifest: counts, classes, kind of label, groups and native image size.

Example::

    facts = data_facts(read_manifest(Path("faces.parquet")))
    facts.labeled, facts.unlabeled, facts.tasks["emotion"].counts
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from auxface.data.images.decode import shorter_side
from auxface.data.manifest import Label, Manifest
from auxface.data.video.frames import is_video
from auxface.errors import InputError
from auxface.training.tasks import TRAINABLE

IMBALANCED = 10.0
"""Ratio of the largest to the smallest class from which a plan weights the classes."""
_SAMPLED_SIZES = 128
_FORGERY = re.compile(r"(?i)\b(fake|forged|forgery|deepfake|manipulated|spoof|attack)s?\b")


@dataclass(frozen=True)
class TaskFacts:
    """One label of the training split.

    Attributes:
        kind: ``class``, ``binary``, ``multilabel`` or ``ordinal``.
        counts: images per class in the training split; for a multilabel task, images with each attribute; empty for an
            ordinal task.
        known: images of the training split whose label is known.
        imbalance: images of the largest class over images of the smallest nonempty one; for a multilabel task, the
            largest such ratio of an attribute; 1 for an ordinal task.
        is_forgery: whether a class name shows that the label separates real from forged faces.
    """

    kind: str
    counts: Mapping[str, int]
    known: int
    imbalance: float
    is_forgery: bool


@dataclass(frozen=True)
class DataFacts:
    """Facts about the images of a manifest.

    Attributes:
        labeled: images of the training split with at least one known label.
        unlabeled: other images of the training split.
        validation: images of the validation split.
        native_side: median of the shorter side of a sample of training images, in pixels.
        tasks: the labels that the plan trains.
        groups: group columns of the manifest.
    """

    labeled: int
    unlabeled: int
    validation: int
    native_side: int
    tasks: Mapping[str, TaskFacts]
    groups: tuple[str, ...]

    @property
    def is_forgery(self) -> bool:
        """Whether any label separates real from forged faces."""
        return any(task.is_forgery for task in self.tasks.values())


def data_facts(manifest: Manifest) -> DataFacts:
    """Read the facts of a manifest's training and validation splits.

    Args:
        manifest: manifest of images.

    Raises:
        InputError: the manifest has no label that can be trained, or its rows are videos.
    """
    train, validation = manifest.only("train"), manifest.only("val")
    paths = train.paths()
    if is_video(str(paths[0])):
        raise InputError(
            f"a plan covers images, and row 1 of the training split is the video {paths[0].name}; extract frames with "
            "'auxface prepare ... --frames 32 --crops FOLDER', or train on clips with recipe l_ssat_video"
        )
    labels = {name: label for name, label in manifest.labels.items() if label.kind in TRAINABLE}
    if any(label.kind != "ordinal" for label in labels.values()):
        labels = {name: label for name, label in labels.items() if label.kind != "ordinal"}
    if not labels:
        raise InputError("the manifest has no label to learn; add one with 'auxface prepare table --label NAME'")
    columns = [column for name, label in labels.items() for column in label.columns(name)]
    known = train.table[columns].notna().any(axis=1)
    return DataFacts(
        labeled=int(known.sum()),
        unlabeled=int((~known).sum()),
        validation=len(validation.table),
        native_side=_native_side(paths),
        tasks={name: _task_facts(train, name, label) for name, label in labels.items()},
        groups=manifest.groups,
    )


def _task_facts(train: Manifest, name: str, label: Label) -> TaskFacts:
    known = train.table[list(label.columns(name))].notna().any(axis=1)
    is_forgery = any(_FORGERY.search(text.replace("_", " ")) for text in (name, *label.classes))
    counts: dict[str, int] = {}
    imbalance = 1.0
    if label.kind == "multilabel":
        present = {one: int((train.table[one] == 1).sum()) for one in label.classes}
        absent = {one: int((train.table[one] == 0).sum()) for one in label.classes}
        counts = present
        ratios = [max(present[one], absent[one]) / max(min(present[one], absent[one]), 1) for one in label.classes]
        imbalance = max(ratios)
        is_forgery = False
    elif label.kind != "ordinal":
        codes = label.classes if label.kind == "class" else (0, 1)
        counts = {one: int((train.table[name] == code).sum()) for one, code in zip(label.classes, codes, strict=True)}
        some = [count for count in counts.values() if count]
        imbalance = max(some) / min(some) if some else 1.0
    return TaskFacts(label.kind, counts, int(known.sum()), imbalance, is_forgery and label.kind != "ordinal")


def _native_side(paths: list[Path]) -> int:
    chosen = np.unique(np.linspace(0, len(paths) - 1, _SAMPLED_SIZES).astype(int))
    sides = [side for side in (shorter_side(paths[number]) for number in chosen) if side is not None]
    if not sides:
        raise InputError(f"none of {len(chosen)} sampled training images can be read; the first is {paths[0]}")
    return int(np.median(sides))
