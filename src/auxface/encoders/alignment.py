"""Center the tokens of strided encoders on their patches.

A convolution with an odd kernel, stride 2 and equal padding on both sides is centered on every other pixel of its
input. Patches of two pixels are centered between two pixels, half a pixel further. Five such layers, as in residual
networks, place token i at 0.48 of a patch above and to the left of the center of patch i.

The pass over complete images is the same as in timm, so that pretrained weights and logits keep their meaning. In the
pass over masked images, token i has to describe patch i. There the input of the last strided layer gets one more row
and column, and the first (or last) row and column of the tokens are dropped. This moves every token by half a patch.

Example:
    >>> import timm
    >>> find_alignment(timm.create_model("resnet18", num_classes=0), image_size=64, side=2)
    PatchAlignment(stage='layer3', before=True)
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

# Tokens that are less than this fraction of a patch off their patches stay where they are.
_TOLERANCE = 0.25


@dataclass(frozen=True)
class PatchAlignment:
    """Shift of the tokens of a model by half a patch.

    Attributes:
        stage: name of the last module whose output has twice as many rows and columns as there are tokens.
        before: pad this output at its top and left, and drop the first row and column of tokens, so that tokens move
            down and to the right; if false, the other way around.
    """

    stage: str
    before: bool

    @contextmanager
    def padding(self, backbone: nn.Module) -> Iterator[None]:
        """Pad the output of the stage inside a ``with`` block."""
        sides = (1, 0, 1, 0) if self.before else (0, 1, 0, 1)
        handle = backbone.get_submodule(self.stage).register_forward_hook(
            lambda module, given, made: functional.pad(torch.as_tensor(made), sides, mode="replicate")
        )
        try:
            yield
        finally:
            handle.remove()

    def crop(self, features: Tensor) -> Tensor:
        """Drop the row and column of features [B, D, side + 1, side + 1] that the padding added."""
        return features[:, :, 1:, 1:] if self.before else features[:, :, :-1, :-1]


@torch.no_grad()
def find_alignment(backbone: nn.Module, *, image_size: int, side: int) -> PatchAlignment | None:
    """Return the padding that centers a model's tokens on patches; None if it is not needed or does not exist.

    The offset of a layer follows from its kernel, stride and padding. Parallel layers, as in a block with a
    shortcut, must have the same offset: otherwise a shift would center one path and displace the other.

    Args:
        backbone: the model in evaluation mode; it runs on a blank image.
        image_size: side of the image in pixels.
        side: number of tokens down and across.
    """
    offsets, maps = _trace(backbone, image_size)
    last = max(offsets, default=0)
    if not last or max(offsets[last]) - min(offsets[last]) > 1e-6:
        return None
    total = sum(sum(each) / len(each) for each in offsets.values()) * side / image_size
    stages = [name for name, shape in maps.items() if len(shape) == 4 and shape[2:] == (2 * side, 2 * side)]
    # The padding moves tokens by one pixel of the last strided layer's input, half a patch.
    if abs(total) < _TOLERANCE or not stages:
        return None
    alignment = PatchAlignment(stages[-1], before=total < 0)
    try:
        with alignment.padding(backbone):
            features: Any = backbone.forward_features(torch.zeros(1, 3, image_size, image_size))  # pyright: ignore
    except (RuntimeError, ValueError, AssertionError):
        return None
    return alignment if features.ndim == 4 and features.shape[2:] == (side + 1, side + 1) else None


def _trace(backbone: nn.Module, image_size: int) -> tuple[dict[float, list[float]], dict[str, tuple[int, ...]]]:
    """Run a blank image; return the offsets of strided layers by pixels per position, and the shapes of stages."""
    offsets: dict[float, list[float]] = {}
    maps: dict[str, tuple[int, ...]] = {}

    def layer(module: Any, given: tuple[Tensor, ...], made: Tensor) -> None:
        stride, kernel = _first(module.stride), _first(module.kernel_size)
        if stride > 1 and given[0].ndim == 4:
            reach = _first(getattr(module, "dilation", 1)) * (kernel - 1)
            pixels, length = image_size / given[0].shape[-1], given[0].shape[-1]
            added = (made.shape[-1] - 1) * stride + reach + 1 - length
            # Layers with "same" padding compute it themselves and add an odd pixel at the end.
            computed = type(module).__name__.endswith("Same")
            padding = max(added, 0) // 2 if computed else _first(module.padding)
            offsets.setdefault(pixels, []).append((reach / 2 - padding - (stride - 1) / 2) * pixels)

    def stage(name: str) -> Any:
        return lambda module, given, made: maps.update({name: tuple(made.shape) if isinstance(made, Tensor) else ()})

    names = {str(info["module"]) for info in getattr(backbone, "feature_info", None) or ()}
    with ExitStack() as hooks:
        for name, module in backbone.named_modules():
            if isinstance(module, (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)):
                hooks.callback(module.register_forward_hook(layer).remove)
            if name in names:
                hooks.callback(module.register_forward_hook(stage(name)).remove)
        backbone.forward_features(torch.zeros(1, 3, image_size, image_size))  # pyright: ignore
    return offsets, maps


def _first(value: Any) -> int:
    return int(value[0] if isinstance(value, tuple) else value)
