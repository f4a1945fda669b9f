"""A timm model as a recipe asks for it, with one sentence for everything that can be wrong."""

import re
from typing import Any

import timm
import timm.models
from torch import nn

from auxface.encoders.pretrained import cached_weights
from auxface.errors import InputError
from auxface.recipe import Encoder

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
