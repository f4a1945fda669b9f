"""Gray images in, maps out: what every descriptor accepts, refuses and gives back.

Color to gray, ITU-R BT.601, in integers.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

GrayImages = Tensor | np.ndarray
"""uint8 [H, W], [B, H, W] or [B, 1, H, W], as a tensor or a numpy array; whole numbers 0..255 of any other dtype."""

_ACCEPTED = "[H, W], [B, H, W] or [B, 1, H, W] (for a clip: [T, H, W] or [B, T, H, W])"


@dataclass(frozen=True)
class Layout:
    """How the caller held the images, so that maps can be handed back the same way."""

    batched: bool
    channel: bool
    numpy: bool

    def restore(self, maps: Tensor) -> Tensor | np.ndarray:
        """Maps [B, M, ...] in the caller's layout: one map goes without a map axis unless a channel axis came in."""
        if maps.shape[1] == 1 and not self.channel:
            maps = maps[:, 0]
        if not self.batched:
            maps = maps[0]
        return maps.cpu().numpy() if self.numpy else maps


def read_images(image: GrayImages) -> tuple[Tensor, Layout]:
    """The images as uint8 [B, H, W], and the layout they came in.

    Raises:
        TypeError: neither a tensor nor a numpy array, or a dtype that holds no gray values.
        ValueError: color, another number of axes, an empty image, or values that are not whole numbers in 0..255.
    """
    tensor = _as_tensor(image)
    shape = tuple(tensor.shape)
    if tensor.ndim == 4 and shape[1] != 1:
        if shape[1] in (3, 4) or shape[-1] in (3, 4):
            raise ValueError(_color(shape))
        raise ValueError(f"expected gray images {_ACCEPTED}, got shape {shape}")
    if tensor.ndim == 3 and shape[-1] in (3, 4) and shape[1] > 4:
        raise ValueError(_color(shape))
    if tensor.ndim not in (2, 3, 4):
        raise ValueError(f"expected gray images {_ACCEPTED}, got shape {shape}")
    if 0 in shape[-2:]:
        raise ValueError(f"the image is empty: shape {shape}")
    layout = Layout(batched=tensor.ndim > 2, channel=tensor.ndim == 4, numpy=isinstance(image, np.ndarray))
    gray = _as_gray(tensor)
    return gray.reshape(-1, *shape[-2:]) if gray.ndim != 3 else gray, layout


def read_clips(clip: GrayImages) -> tuple[Tensor, Layout]:
    """The clips as uint8 [B, T, H, W], and the layout they came in ([T, H, W] or [B, T, H, W]).

    Raises:
        TypeError: neither a tensor nor a numpy array, or a dtype that holds no gray values.
        ValueError: another number of axes, an empty clip, or values that are not whole numbers in 0..255.
    """
    tensor = _as_tensor(clip)
    shape = tuple(tensor.shape)
    if tensor.ndim not in (3, 4) or 0 in shape[-3:]:
        raise ValueError(f"expected a gray clip [T, H, W] or [B, T, H, W], got shape {shape}")
    layout = Layout(batched=tensor.ndim == 4, channel=True, numpy=isinstance(clip, np.ndarray))
    return _as_gray(tensor).reshape(-1, *shape[-3:]), layout


def require_size(shape: tuple[int, ...], radius: int, border: str, name: str) -> None:
    """Refuse sides that the support does not fit: more than the radius, or twice the radius for ``valid``.

    Raises:
        ValueError: a side of the image (or clip) is too small.
    """
    smallest = 1 + (2 * radius if border == "valid" else radius)
    if min(shape) < smallest:
        sides = " x ".join(map(str, shape))
        raise ValueError(f"{name} with border={border!r} needs sides of at least {smallest} pixels here, got {sides}")


def require_border(border: str, allowed: tuple[str, ...]) -> None:
    """Refuse an unknown border rule.

    Raises:
        ValueError: ``border`` is not one of ``allowed``.
    """
    if border not in allowed:
        raise ValueError(f"border must be one of {', '.join(allowed)}; got {border!r}")


def require_whole(name: str, value: object, low: int, high: int, odd: bool = False) -> None:
    """Refuse a parameter that is no whole number in ``low`` .. ``high``.

    Raises:
        TypeError: not a whole number.
        ValueError: out of range, or even where ``odd`` is asked for.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be a whole number, got {value!r}")
    if not low <= value <= high or (odd and value % 2 == 0):
        raise ValueError(f"{name} must be {'an odd number ' if odd else ''}{low} to {high}, got {value}")


def require_number(name: str, value: object, low: float, above: bool = False) -> None:
    """Refuse a parameter that is no finite number of at least ``low`` (``above``: more than ``low``).

    Raises:
        TypeError: not a number.
        ValueError: out of range.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number, got {value!r}")
    if not math.isfinite(value) or value < low or (above and value == low):
        raise ValueError(f"{name} must be {'above' if above else 'at least'} {low}, got {value}")


def _color(shape: tuple[int, ...]) -> str:
    return (
        f"expected gray images {_ACCEPTED}, got what looks like color: shape {shape}; "
        "convert with auxface.texture.gray first"
    )


def _as_tensor(image: object) -> Tensor:
    if isinstance(image, Tensor):
        return image
    if isinstance(image, np.ndarray):
        if image.dtype.kind not in "uif":
            raise TypeError(f"expected gray values 0..255, got a numpy array of {image.dtype}")
        if image.dtype.kind == "u" and image.dtype.itemsize > 1:
            image = image.astype(np.int64)
        if any(stride < 0 for stride in image.strides) or not image.dtype.isnative or not image.flags.writeable:
            image = np.array(image, dtype=image.dtype.newbyteorder("="))
        return torch.from_numpy(image)
    raise TypeError(f"expected a torch.Tensor or a numpy.ndarray of gray values 0..255, got {type(image).__name__}")


def _as_gray(tensor: Tensor) -> Tensor:
    if tensor.dtype == torch.uint8:
        return tensor
    if tensor.dtype == torch.bool or tensor.is_complex():
        raise TypeError(f"expected gray values 0..255, got a tensor of {tensor.dtype}")
    if tensor.numel() == 0:
        return tensor.to(torch.uint8)
    low, high = tensor.min().item(), tensor.max().item()
    if not (low >= 0 and high <= 255):
        raise ValueError(
            f"expected gray values 0..255, got {tensor.dtype} values from {low} to {high}, shape {tuple(tensor.shape)}"
        )
    gray = tensor.to(torch.uint8)
    if tensor.is_floating_point() and not torch.equal(gray.to(tensor.dtype), tensor):
        raise ValueError(
            f"expected whole gray values 0..255, got fractions in a {tensor.dtype} image, shape {tuple(tensor.shape)}; "
            "an image in 0..1 must be multiplied by 255 and rounded first"
        )
    return gray


# 0.299, 0.587 and 0.114 in 65536ths: the rounding that image libraries share, so gray files and gray tensors agree.
RED, GREEN, BLUE = 19595, 38470, 7471


def gray(image: Tensor | np.ndarray) -> Tensor | np.ndarray:
    """Gray values of RGB images: ``(19595 R + 38470 G + 7471 B + 32768) >> 16``, the same integers on every device.

    Args:
        image: uint8; a tensor [3, H, W] or [B, 3, H, W], or a numpy array [H, W, 3] or [B, H, W, 3]. Channels are
            looked for in their usual place first (third from last in tensors, last in arrays), then in the other.

    Returns:
        uint8 [H, W] or [B, H, W], a tensor or an array as it came.

    Raises:
        TypeError: neither a tensor nor an array, or not uint8.
        ValueError: no axis of three channels where one is expected.
    """
    if not isinstance(image, Tensor | np.ndarray):
        raise TypeError(f"expected a torch.Tensor or a numpy.ndarray, got {type(image).__name__}")
    tensor = image if isinstance(image, Tensor) else torch.from_numpy(np.require(image, requirements=["C", "W"]))
    if tensor.dtype != torch.uint8:
        raise TypeError(f"expected uint8 RGB values 0..255, got {tensor.dtype}, shape {tuple(tensor.shape)}")
    axes = (-3, -1) if isinstance(image, Tensor) else (-1, -3)
    axis = next((axis for axis in axes if tensor.ndim in (3, 4) and tensor.shape[axis] == 3), None)
    if axis is None:
        raise ValueError(f"expected RGB images [3, H, W], [B, 3, H, W] or [..., H, W, 3], got {tuple(tensor.shape)}")
    red, green, blue = (channel.to(torch.int32) for channel in tensor.unbind(axis))
    # In place: a batch of photographs is large, and the sum of 255 * 65536 fits 32 bits.
    total = red.mul_(RED).add_(green, alpha=GREEN).add_(blue, alpha=BLUE).add_(32768).bitwise_right_shift_(16)
    luma = total.to(torch.uint8)
    return luma if isinstance(image, Tensor) else luma.numpy()
