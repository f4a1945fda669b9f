"""Centering of the tokens of strided encoders on their patches.

A convolution with an odd kernel, stride 2 and equal padding on both sides is centered on every other pixel of its
input. A patch of two pixels is centered between its pixels, half a pixel further to the right and down. Five
of these layers, as in residual networks, place token i 0.48 patches above and to the left of the center of patch i.

For complete images, the forward pass is the same as in timm, so that pretrained weights and logits keep their meaning.
For masked images, token i has to describe patch i. The input of one of the last strided layers is therefore padded with
additional rows and columns, and the first (or last) row and column of tokens are dropped. Padding before the last
strided layer shifts every token by half a patch; padding before the second-to-last layer shifts every token by a
multiple of a quarter of a patch.

Example:
    >>> import timm
    >>> find_alignment(timm.create_model("resnet18", num_classes=0), image_size=64, side=2)
    PatchAlignment(stage='layer3', before=1, after=0, skips_first=True)
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

# Tokens are not shifted if they are off-center by less than this fraction of a patch.
_TOLERANCE = 0.25
# A shift is sufficient if it leaves tokens off-center by less than this fraction of a patch.
_CENTERED = 0.1


@dataclass(frozen=True)
class PatchAlignment:
    """A shift of a model's tokens by a fraction of a patch.

    Attributes:
        stage: name of the module whose output is padded.
        before: number of rows and columns added at the top and at the left of this output.
        after: number of rows and columns added at the bottom and at the right.
        skips_first: whether the first row and column of tokens are dropped; if false, the last row and column are.
    """

    stage: str
    before: int
    after: int
    skips_first: bool

    @contextmanager
    def padding(self, backbone: nn.Module) -> Iterator[None]:
        """Pad the output of :attr:`stage` inside a ``with`` block."""
        sides = (self.before, self.after, self.before, self.after)
        handle = backbone.get_submodule(self.stage).register_forward_hook(
            lambda module, given, made: functional.pad(torch.as_tensor(made), sides, mode="replicate")
        )
        try:
            yield
        finally:
            handle.remove()

    def crop(self, features: Tensor) -> Tensor:
        """Drop the additional row and column that the padding adds to features [B, D, side + 1, side + 1]."""
        return features[:, :, 1:, 1:] if self.skips_first else features[:, :, :-1, :-1]


@torch.no_grad()
def find_alignment(backbone: nn.Module, *, image_size: int, side: int) -> PatchAlignment | None:
    """Return the shift that centers a model's tokens on their patches, or None if no shift is needed or sufficient.

    The offset of a layer follows from its kernel, stride and padding. The offsets of parallel layers, as in a block
    with a shortcut, are averaged.

    Args:
        backbone: model in evaluation mode, which is run on a blank image.
        image_size: side length of the image in pixels.
        side: number of rows and columns of tokens.
    """
    patch = image_size / side
    plain = _trace(backbone, image_size)
    offset = plain.offset(plain.pixels)
    if abs(offset) < _TOLERANCE * patch:
        return None
    best, least = None, abs(offset)
    for factor in (2, 4):
        stages = [
            name
            for name, shape in plain.maps.items()
            if len(shape) == 4 and shape[2:] == (factor * side, factor * side)
        ]
        for added in range(1, factor) if stages else ():
            for before, after in ((added, 0), (0, added)):
                padded = PatchAlignment(stages[-1], before, after, skips_first=False)
                try:
                    with padded.padding(backbone):
                        trace = _trace(backbone, image_size)
                except (RuntimeError, ValueError, AssertionError):
                    continue
                if trace.features[2:] != (side + 1, side + 1):
                    continue
                shifted = trace.offset(plain.pixels) - before * patch / factor
                for skips_first, left in ((False, shifted), (True, shifted + patch)):
                    if abs(left) < least:
                        best, least = PatchAlignment(stages[-1], before, after, skips_first), abs(left)
        if least < _CENTERED * patch:
            break
    return best


@dataclass
class _Trace:
    """Strides, offsets and shapes that were recorded in a run on a blank image.

    Attributes:
        pixels: number of image pixels per input position of each strided layer, by layer name.
        shifts: offset of each strided layer in input positions, by layer name.
        maps: output shapes of the stages.
        features: shape of the last feature map.
    """

    pixels: dict[str, float] = field(default_factory=dict)
    shifts: dict[str, float] = field(default_factory=dict)
    maps: dict[str, tuple[int, ...]] = field(default_factory=dict)
    features: tuple[int, ...] = ()

    def offset(self, pixels: Mapping[str, float]) -> float:
        """Return the offset of the tokens in pixels, given the pixels per position of an unpadded run."""
        levels: dict[float, list[float]] = {}
        for name, each in pixels.items():
            levels.setdefault(each, []).append(self.shifts[name] * each)
        return sum(sum(level) / len(level) for level in levels.values())


def _trace(backbone: nn.Module, image_size: int) -> _Trace:
    """Run the model on a blank image and record the strided layers on the path to the last feature map.

    If the output of a module has the shape of its input, the layers inside the module are not on this path. In the
    attention of a Pyramid Vision Transformer, for example, a strided convolution downsamples keys and values, but the
    queries keep their positions.
    """
    trace = _Trace()
    keeps_shape: set[str] = set()

    def layer(name: str) -> Any:
        def record(module: Any, given: tuple[Tensor, ...], made: Tensor) -> None:
            stride, kernel = _first(module.stride), _first(module.kernel_size)
            if stride > 1 and given[0].ndim == 4:
                reach = _first(getattr(module, "dilation", 1)) * (kernel - 1)
                length = given[0].shape[-1]
                added = (made.shape[-1] - 1) * stride + reach + 1 - length
                # Layers with "same" padding compute their padding at run time; an odd pixel is added at the end.
                computed = type(module).__name__.endswith("Same")
                padding = max(added, 0) // 2 if computed else _first(module.padding)
                trace.pixels[name] = image_size / length
                trace.shifts[name] = reach / 2 - padding - (stride - 1) / 2

        return record

    def shapes(name: str) -> Any:
        def record(module: nn.Module, given: tuple[Any, ...], made: Any) -> None:
            shape = tuple(made.shape) if isinstance(made, Tensor) else ()
            if name in names:
                trace.maps[name] = shape
            if shape and given and isinstance(given[0], Tensor) and given[0].shape == shape:
                keeps_shape.add(f"{name}.")

        return record

    names = {str(info["module"]) for info in getattr(backbone, "feature_info", None) or ()}
    with ExitStack() as hooks:
        for name, module in backbone.named_modules():
            if isinstance(module, (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)):
                hooks.callback(module.register_forward_hook(layer(name)).remove)
            if name:
                hooks.callback(module.register_forward_hook(shapes(name)).remove)
        features: Any = backbone.forward_features(torch.zeros(1, 3, image_size, image_size))  # pyright: ignore
    trace.features = tuple(features.shape) if features.ndim == 4 else ()
    for name in list(trace.pixels):
        if name.startswith(tuple(keeps_shape)):
            del trace.pixels[name], trace.shifts[name]
    return trace


def _first(value: Any) -> int:
    return int(value[0] if isinstance(value, tuple) else value)
