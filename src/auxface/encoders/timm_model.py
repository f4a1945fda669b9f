"""Creation of timm models without their classifier; invalid options raise :class:`auxface.errors.InputError`."""

import re
from typing import Any

import timm
import timm.models
import torch
from torch import nn

from auxface.encoders.pretrained import timm_weights
from auxface.errors import InputError
from auxface.recipe import Encoder

COLUMN_SHAPED_MODULES = ("vision_transformer", "deit", "eva")
"""timm modules whose models process the same tokens in all blocks."""

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
    """An architecture does not accept a value; the message is timm's."""


def is_column_shaped(name: str) -> bool:
    """Return whether a timm model name, with or without the tag of its weights, belongs to a column-shaped model."""
    return timm.is_model(name) and timm.models.is_model_in_modules(name, COLUMN_SHAPED_MODULES)


def create(options: Encoder, arguments: dict[str, Any]) -> nn.Module:
    """Return a timm model without its classifier.

    Args:
        options: ``encoder`` section of a recipe; only ``name`` and ``pretrained`` are used.
        arguments: arguments of ``timm.create_model``; None selects the default of the architecture.

    Raises:
        InputError: the architecture does not support an argument or cannot be built, or its pretrained weights are not
            available or require different channel statistics.
        Refused: the architecture does not accept a value.
        TypeError: the architecture does not support ``img_size``.
    """
    given = {name: value for name, value in arguments.items() if value is not None}
    weights = timm_weights(options.name) if options.pretrained else None
    if weights is not None:
        # Without this overlay, timm would first query the network for a newer file and wait for the response.
        given["pretrained_cfg_overlay"] = {"file": str(weights)}
    try:
        model = timm.create_model(options.name, pretrained=options.pretrained, num_classes=0, **given)
    except (TypeError, AssertionError, ValueError, ArithmeticError) as error:
        unknown = _unknown_argument(error, given)
        if unknown == "img_size":
            raise TypeError(unknown) from None
        if unknown is not None:
            key = f"encoder.{_FIELDS[unknown]}"
            raise InputError(f"encoder '{options.name}' does not support {key}; remove {key}") from None
        raise Refused((str(error) or type(error).__name__).splitlines()[0]) from None
    except (OSError, RuntimeError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        if not options.pretrained:
            raise InputError(
                f"encoder '{options.name}' could not be built ({reason}); choose another encoder.name"
            ) from None
        raise InputError(
            f"the pretrained weights of '{options.name}' could not be loaded ({reason}); "
            "set encoder.pretrained=false, or download them once with a network connection"
        ) from None
    if options.pretrained:
        check_statistics(options, model.pretrained_cfg)  # pyright: ignore[reportArgumentType]
    return model


def check_statistics(options: Encoder, weights: dict[str, Any]) -> None:
    """Check that the recipe uses the channel means and standard deviations of the pretrained weights.

    Raises:
        InputError: a mean or standard deviation differs by more than 0.001.
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
    """Return text that names the nearest accepted image sizes below and above the image size of the recipe.

    Sizes are tested by running the model.
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
