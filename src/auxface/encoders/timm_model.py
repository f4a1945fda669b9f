"""A timm model as a recipe asks for it, with one sentence for everything that can be wrong.

Which image sizes a backbone takes, found by trying, for the sentence that refuses another.

Where timm's pre-trained weights are: in the local cache or a network away, told in seconds, not after retries.
"""

import re
import threading
import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import Any

import timm
import timm.models
import torch
from huggingface_hub import constants, try_to_load_from_cache
from torch import nn

from auxface.errors import InputError
from auxface.recipe import Encoder

_PATIENCE = 5.0
_SAFE, _PICKLED = "model.safetensors", "pytorch_model.bin"


def cached_weights(name: str) -> Path | None:
    """The file of a timm model's weights in the local cache, or None where the network will have to give them.

    Args:
        name: a timm model, with or without a tag of its weights.

    Raises:
        InputError: they are neither in the cache nor in reach.
    """
    source = timm.get_pretrained_cfg(name, allow_unregistered=False)
    if source is None or not (source.hf_hub_id or source.url):
        return None
    hub_id, url = source.hf_hub_id or "", str(source.url)
    found = _in_cache(hub_id, source.hf_hub_filename) if hub_id else _downloaded(url)
    if found is not None:
        return found
    if hub_id and constants.HF_HUB_OFFLINE:
        reason = "HF_HUB_OFFLINE is set"
    else:
        reason = _unreachable(constants.ENDPOINT if hub_id else url)
    if reason is not None:
        raise InputError(
            f"the pre-trained weights of '{name}' are not on this machine, and {hub_id or url} cannot be reached "
            f"({reason}); set encoder.pretrained=false, or fetch them once on a machine with network"
        )
    return None


def _in_cache(hub_id: str, filename: str | None) -> Path | None:
    repository, _, revision = hub_id.partition("@")
    names = (_SAFE, _PICKLED) if filename is None else (str(Path(filename).with_suffix(".safetensors")), filename)
    for name in names:
        path = try_to_load_from_cache(repository, name, revision=revision or None)
        if isinstance(path, str):
            return Path(path)
    return None


def _downloaded(url: str) -> Path | None:
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    return path if path.is_file() else None


def _unreachable(address: str) -> str | None:
    """Why nothing answers at an address; None if something does, whatever it says."""
    answers: list[str | None] = []
    # Looking up a name has no timeout of its own, hence a thread that may be left behind.
    asking = threading.Thread(target=lambda: answers.append(_ask(address)), daemon=True)
    asking.start()
    asking.join(_PATIENCE)
    return answers[0] if answers else f"no answer within {_PATIENCE:g} seconds"


def _ask(address: str) -> str | None:
    try:
        urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=_PATIENCE).close()
    except urllib.error.HTTPError:
        return None
    except urllib.error.URLError as error:
        return str(error.reason)
    except (OSError, HTTPException) as error:
        return str(error) or type(error).__name__
    return None


_FIELDS = {
    "img_size": "image_size",
    "patch_size": "patch_size",
    "embed_dim": "width",
    "depth": "depth",
    "num_heads": "heads",
    "drop_path_rate": "drop_path",
    "output_stride": "output_stride",
}


class Refused(Exception):
    """The architecture does not take one of the values; the message says why, if timm does."""


def is_in_modules(name: str, modules: tuple[str, ...]) -> bool:
    """Whether a name, with or without a tag of its weights, is of one of timm's modules."""
    return timm.is_model(name) and timm.models.is_model_in_modules(name, modules)


def create(options: Encoder, arguments: dict[str, Any]) -> nn.Module:
    """The model without its classifier.

    Args:
        options: name, and whether pre-trained.
        arguments: for timm; those that are None are left to the architecture.

    Raises:
        InputError: the architecture does not take an argument at all, or its pre-trained weights cannot be had here or
            need other channel statistics.
        Refused: it does not take one of the values.
        TypeError: it does not take ``img_size``.
    """
    given = {name: value for name, value in arguments.items() if value is not None}
    weights = cached_weights(options.name) if options.pretrained else None
    if weights is not None:
        # Else timm would ask the network first whether there is a newer file, and wait for it.
        given["pretrained_cfg_overlay"] = {"file": str(weights)}
    try:
        model = timm.create_model(options.name, pretrained=options.pretrained, num_classes=0, **given)
    except (TypeError, AssertionError, ValueError, ArithmeticError) as error:
        unknown = _unknown_argument(error, given)
        if unknown == "img_size":
            raise TypeError(unknown) from None
        if unknown is not None:
            raise InputError(f"encoder '{options.name}' takes no encoder.{_FIELDS[unknown]}; leave it out") from None
        raise Refused((str(error) or "it refuses them").splitlines()[0]) from None
    except (OSError, RuntimeError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(
            f"the pre-trained weights of '{options.name}' could not be loaded ({reason}); "
            "set encoder.pretrained=false, or fetch them once on a machine with network"
        ) from None
    if options.pretrained:
        check_statistics(options, model.pretrained_cfg)  # pyright: ignore[reportArgumentType]
    return model


def check_statistics(options: Encoder, weights: dict[str, Any]) -> None:
    """Refuse channel statistics that are not those the pre-trained weights were made with.

    Raises:
        InputError: they differ.
    """
    for field in ("mean", "std"):
        wanted = tuple(weights.get(field) or getattr(options, field))
        if max(abs(a - b) for a, b in zip(wanted, getattr(options, field), strict=True)) > 1e-3:
            raise InputError(
                f"the weights of '{options.name}' were trained with encoder.{field} {list(wanted)}, not "
                f"{list(getattr(options, field))}; set it so"
            )


def _unknown_argument(error: Exception, given: dict[str, Any]) -> str | None:
    if not isinstance(error, TypeError) or "unexpected" not in str(error).lower():
        return None
    named = re.findall(r"'(\w+)'", str(error))
    return next((name for name in named if name in given), None)


_LARGEST = 1024


def sizes_near(options: Encoder) -> str:
    """The nearest sizes below and above the one asked for that the model takes, as words."""
    stride = _stride(options.name)
    below = range(options.image_size // stride * stride, stride, -stride)
    above = range(options.image_size // stride * stride + stride, _LARGEST + 1, stride)
    found = [next((size for size in list(sizes)[:6] if _takes(options.name, size)), None) for sizes in (below, above)]
    words = [str(size) for size in found if size is not None and size != options.image_size]
    native = timm.get_pretrained_cfg(options.name)
    words = words or ([str(native.input_size[-1])] if native is not None else [])
    return " or ".join(words) or f"a multiple of {stride}"


def _stride(name: str) -> int:
    model: Any = timm.create_model(name, num_classes=0)
    return int(model.feature_info[-1]["reduction"])


@torch.no_grad()
def _takes(name: str, size: int) -> bool:
    try:
        try:
            model: Any = timm.create_model(name, num_classes=0, img_size=size)
        except TypeError:
            model = timm.create_model(name, num_classes=0)
        model.eval().forward_features(torch.zeros(1, 3, size, size))
    except (AssertionError, ValueError, RuntimeError):
        return False
    return True
