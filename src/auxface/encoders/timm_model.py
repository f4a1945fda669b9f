"""timm models and their pretrained weights, with an :class:`auxface.errors.InputError` for what can be wrong.

Pretrained weights are found in the local cache, or there is an error within seconds if they cannot be downloaded: timm
itself retries for minutes before it reports that there is no network.
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

_TIMEOUT = 5.0
"""Seconds."""
_SAFE, _PICKLED = "model.safetensors", "pytorch_model.bin"


def cached_weights(name: str) -> Path | None:
    """Return the file of a timm model's weights in the local cache, or None if timm has to download them.

    Args:
        name: a timm model, with or without the tag of its weights.

    Raises:
        InputError: the weights are not in the cache, and their server does not answer.
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
        reason = _connection_error(constants.ENDPOINT if hub_id else url)
    if reason is not None:
        raise InputError(
            f"the pretrained weights of '{name}' are not on this machine, and {hub_id or url} cannot be reached "
            f"({reason}); set encoder.pretrained=false, or download them once with a network connection"
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


def _connection_error(address: str) -> str | None:
    """Return why no server answers at an address, or None if one does, with whatever status."""
    results: list[str | None] = []
    # Name resolution has no timeout, so it runs in a thread that may outlive this call.
    thread = threading.Thread(target=lambda: results.append(_request(address)), daemon=True)
    thread.start()
    thread.join(_TIMEOUT)
    return results[0] if results else f"no answer within {_TIMEOUT:g} seconds"


def _request(address: str) -> str | None:
    try:
        urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=_TIMEOUT).close()
    except urllib.error.HTTPError:
        return None
    except urllib.error.URLError as error:
        return str(error.reason)
    except (OSError, HTTPException) as error:
        return str(error) or type(error).__name__
    return None


COLUMN_SHAPED_MODULES = ("vision_transformer", "deit", "eva")
"""timm modules whose models have the same tokens in all blocks."""

_FIELDS = {
    "img_size": "image_size",
    "patch_size": "patch_size",
    "embed_dim": "width",
    "depth": "depth",
    "num_heads": "heads",
    "drop_path_rate": "drop_path",
    "output_stride": "output_stride",
}


_LARGEST_SIZE = 1024


class Refused(Exception):
    """The architecture does not accept a value; the message is timm's."""


def is_column_shaped(name: str) -> bool:
    """Return whether a name, with or without the tag of its weights, is that of a column-shaped timm model."""
    return timm.is_model(name) and timm.models.is_model_in_modules(name, COLUMN_SHAPED_MODULES)


def create(options: Encoder, arguments: dict[str, Any]) -> nn.Module:
    """Return a timm model without its classifier.

    Args:
        options: the recipe's encoder section; its name and whether it is pretrained are used.
        arguments: of ``timm.create_model``; None means the architecture's default.

    Raises:
        InputError: the architecture does not have an argument, or its pretrained weights are not available or need
            other channel statistics.
        Refused: the architecture does not accept a value.
        TypeError: the architecture does not have ``img_size``.
    """
    given = {name: value for name, value in arguments.items() if value is not None}
    weights = cached_weights(options.name) if options.pretrained else None
    if weights is not None:
        # Otherwise timm first asks the network for a newer file, and waits for the answer.
        given["pretrained_cfg_overlay"] = {"file": str(weights)}
    try:
        model = timm.create_model(options.name, pretrained=options.pretrained, num_classes=0, **given)
    except (TypeError, AssertionError, ValueError, ArithmeticError) as error:
        unknown = _unknown_argument(error, given)
        if unknown == "img_size":
            raise TypeError(unknown) from None
        if unknown is not None:
            raise InputError(f"encoder '{options.name}' does not have encoder.{_FIELDS[unknown]}; remove it") from None
        raise Refused((str(error) or type(error).__name__).splitlines()[0]) from None
    except (OSError, RuntimeError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(
            f"the pretrained weights of '{options.name}' could not be loaded ({reason}); "
            "set encoder.pretrained=false, or download them once with a network connection"
        ) from None
    if options.pretrained:
        check_statistics(options, model.pretrained_cfg)  # pyright: ignore[reportArgumentType]
    return model


def check_statistics(options: Encoder, weights: dict[str, Any]) -> None:
    """Check that the recipe has the channel statistics with which the pretrained weights were trained.

    Raises:
        InputError: mean or standard deviation differ by more than 0.001.
    """
    for field in ("mean", "std"):
        expected = tuple(weights.get(field) or getattr(options, field))
        if max(abs(a - b) for a, b in zip(expected, getattr(options, field), strict=True)) > 1e-3:
            raise InputError(
                f"the weights of '{options.name}' were trained with encoder.{field} {list(expected)}, not "
                f"{list(getattr(options, field))}; set encoder.{field} to these values"
            )


def _unknown_argument(error: Exception, given: dict[str, Any]) -> str | None:
    if not isinstance(error, TypeError) or "unexpected" not in str(error).lower():
        return None
    named = re.findall(r"'(\w+)'", str(error))
    return next((name for name in named if name in given), None)


def sizes_near(options: Encoder) -> str:
    """Return the nearest image sizes below and above the recipe's that the model accepts, as words.

    The sizes are found by running the model.
    """
    stride = _stride(options.name)
    below = range(options.image_size // stride * stride, stride, -stride)
    above = range(options.image_size // stride * stride + stride, _LARGEST_SIZE + 1, stride)
    found = [next((size for size in list(sizes)[:6] if _accepts(options.name, size)), None) for sizes in (below, above)]
    words = [str(size) for size in found if size is not None and size != options.image_size]
    native = timm.get_pretrained_cfg(options.name)
    words = words or ([str(native.input_size[-1])] if native is not None else [])
    return " or ".join(words) or f"a multiple of {stride}"


def _stride(name: str) -> int:
    model: Any = timm.create_model(name, num_classes=0)
    return int(model.feature_info[-1]["reduction"])


@torch.no_grad()
def _accepts(name: str, size: int) -> bool:
    try:
        try:
            model: Any = timm.create_model(name, num_classes=0, img_size=size)
        except TypeError:
            model = timm.create_model(name, num_classes=0)
        model.eval().forward_features(torch.zeros(1, 3, size, size))
    except (AssertionError, ValueError, RuntimeError):
        return False
    return True
