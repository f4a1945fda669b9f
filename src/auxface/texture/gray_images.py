"""Gray images: conversion from RGB, input checks shared by all descriptors, and lookup tables of integer gradients.

The conversion computes the luma of ITU-R BT.601 in integer arithmetic, so that every device and every image library
gives the same gray values.

Example:
    >>> import numpy as np
    >>> from auxface import texture
    >>> texture.gray(np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8))
    array([[ 76, 150,  29]], dtype=uint8)

Checks of parameters:
    >>> require_integer("points", 8, 1, 31)
    >>> require_integer("points", 40, 1, 31)
    Traceback (most recent call last):
        ...
    ValueError: points must be from 1 to 31, got 40

Functions of an integer gradient are read from lookup tables of 511 x 511 pairs, which are computed once in double
precision. A table gives the same angles and magnitudes on every device, and it is faster than computing arctangents.

Example:
    >>> first, second = all_gradients()
    >>> index = gradient_index(torch.tensor([3], dtype=torch.int16), torch.tensor([-4], dtype=torch.int16),
    ...                        out=torch.empty(1, dtype=torch.int32))
    >>> first[index.numpy()], second[index.numpy()]
    (array([3.]), array([-4.]))
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

GrayImages = Tensor | np.ndarray
"""Tensor or numpy array [H, W], [B, H, W] or [B, 1, H, W], uint8 or integers from 0 to 255 of any other dtype."""

# 0.299, 0.587 and 0.114 in units of 1 / 65536: libjpeg, OpenCV and PIL use the same rounding.
RED, GREEN, BLUE = 19595, 38470, 7471

_ACCEPTED = "[H, W], [B, H, W] or [B, 1, H, W] (for a clip: [T, H, W] or [B, T, H, W])"
GRADIENT_SPAN = 511
"""Number of possible differences between two gray values, -255 to 255."""
ZERO_GRADIENT = 255 * GRADIENT_SPAN + 255
"""Index of the gradient (0, 0)."""


def gray(image: Tensor | np.ndarray) -> Tensor | np.ndarray:
    """Convert RGB images to gray: ``(19595 R + 38470 G + 7471 B + 32768) >> 16``.

    Args:
        image: uint8 RGB values, as a tensor [3, H, W] or [B, 3, H, W] or a numpy array [H, W, 3] or [B, H, W, 3].
            If the usual channel axis (third from last in tensors, last in arrays) does not have length 3, the other
            axis (last in tensors, third from last in arrays) is used.

    Returns:
        uint8 gray values [H, W] or [B, H, W], as a tensor on the same device or as an array.

    Raises:
        TypeError: ``image`` is neither a tensor nor an array, or is not uint8.
        ValueError: neither of these axes has length 3.

    Example:
        >>> gray(torch.full((1, 3, 2, 2), 128, dtype=torch.uint8))
        tensor([[[128, 128],
                 [128, 128]]], dtype=torch.uint8)
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
    # Computed in place to save memory on large batches. The largest sum, 255 * 65536, fits in 32 bits.
    total = red.mul_(RED).add_(green, alpha=GREEN).add_(blue, alpha=BLUE).add_(32768).bitwise_right_shift_(16)
    luma = total.to(torch.uint8)
    return luma if isinstance(image, Tensor) else luma.numpy()


@dataclass(frozen=True)
class InputLayout:
    """The layout of the caller's images, so that maps are returned in the same layout.

    Attributes:
        batched: whether the input had a batch axis.
        channel: whether the input had a channel axis.
        numpy: whether the input was a numpy array.
    """

    batched: bool
    channel: bool
    numpy: bool

    def restore(self, maps: Tensor) -> Tensor | np.ndarray:
        """Convert maps [B, M, ...] to the caller's layout.

        The axis of a single map is removed if the input had no channel axis.

        Args:
            maps: result of the descriptor, of any dtype.
        """
        if maps.shape[1] == 1 and not self.channel:
            maps = maps[:, 0]
        if not self.batched:
            maps = maps[0]
        return maps.cpu().numpy() if self.numpy else maps


def read_images(image: GrayImages) -> tuple[Tensor, InputLayout]:
    """Return gray images as uint8 [B, H, W], and their layout.

    Raises:
        TypeError: ``image`` is neither a tensor nor a numpy array, or its dtype is not supported.
        ValueError: the image is in color or empty, has the wrong number of axes, or contains values that are not
            integers from 0 to 255.
    """
    tensor = _as_tensor(image)
    shape = tuple(tensor.shape)
    if tensor.ndim == 4 and shape[1] != 1:
        if shape[1] in (3, 4) or shape[-1] in (3, 4):
            raise ValueError(_color_message(shape))
        raise ValueError(f"expected gray images {_ACCEPTED}, got shape {shape}")
    if tensor.ndim == 3 and shape[-1] in (3, 4) and shape[1] > 4:
        raise ValueError(_color_message(shape))
    if tensor.ndim not in (2, 3, 4):
        raise ValueError(f"expected gray images {_ACCEPTED}, got shape {shape}")
    if 0 in shape[-2:]:
        raise ValueError(f"the image is empty: shape {shape}")
    layout = InputLayout(batched=tensor.ndim > 2, channel=tensor.ndim == 4, numpy=isinstance(image, np.ndarray))
    values = _as_uint8(tensor)
    return values.reshape(-1, *shape[-2:]) if values.ndim != 3 else values, layout


def read_clips(clip: GrayImages) -> tuple[Tensor, InputLayout]:
    """Return gray video clips [T, H, W] or [B, T, H, W] as uint8 [B, T, H, W], and their layout.

    Raises:
        TypeError: ``clip`` is neither a tensor nor a numpy array, or its dtype is not supported.
        ValueError: the clip is empty, has the wrong number of axes, or contains values that are not integers from 0 to
            255.
    """
    tensor = _as_tensor(clip)
    shape = tuple(tensor.shape)
    if tensor.ndim not in (3, 4) or 0 in shape[-3:]:
        raise ValueError(f"expected a gray clip [T, H, W] or [B, T, H, W], got shape {shape}")
    layout = InputLayout(batched=tensor.ndim == 4, channel=True, numpy=isinstance(clip, np.ndarray))
    return _as_uint8(tensor).reshape(-1, *shape[-3:]), layout


def _color_message(shape: tuple[int, ...]) -> str:
    return (
        f"expected gray images {_ACCEPTED}, got a shape of color images: {shape}; "
        "convert them with auxface.texture.gray first"
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


def _as_uint8(tensor: Tensor) -> Tensor:
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
    values = tensor.to(torch.uint8)
    if tensor.is_floating_point() and not torch.equal(values.to(tensor.dtype), tensor):
        raise ValueError(
            f"expected integer gray values 0..255, got fractions in a {tensor.dtype} image, shape "
            f"{tuple(tensor.shape)}; an image in 0..1 must be multiplied by 255 and rounded first"
        )
    return values


def require_integer(name: str, value: object, low: int, high: int, *, odd: bool = False) -> None:
    """Check that a parameter is an integer from ``low`` to ``high``.

    Args:
        name: name of the parameter, for the message.
        value: the value that the caller passed.
        low: smallest allowed value.
        high: largest allowed value.
        odd: whether even numbers are rejected.

    Raises:
        TypeError: the value is not an integer.
        ValueError: the value is out of range, or it is even and ``odd`` is true.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    if not low <= value <= high or (odd and value % 2 == 0):
        raise ValueError(f"{name} must be {'an odd number ' if odd else ''}from {low} to {high}, got {value}")


def require_number(name: str, value: object, low: float, *, above: bool = False) -> None:
    """Check that a parameter is a finite number of at least ``low``.

    Args:
        name: name of the parameter, for the message.
        value: the value that the caller passed.
        low: smallest allowed value.
        above: whether ``low`` itself is rejected.

    Raises:
        TypeError: the value is not a number.
        ValueError: the value is out of range.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number, got {value!r}")
    if not math.isfinite(value) or value < low or (above and value == low):
        raise ValueError(f"{name} must be {'above' if above else 'at least'} {low}, got {value}")


def require_border(border: str, allowed: tuple[str, ...]) -> None:
    """Check that the border rule is one of the allowed rules.

    Raises:
        ValueError: ``border`` is not one of ``allowed``.
    """
    if border not in allowed:
        raise ValueError(f"border must be one of {', '.join(allowed)}; got {border!r}")


def require_size(shape: tuple[int, ...], radius: int, border: str, name: str) -> None:
    """Check that an image or clip is large enough for a descriptor.

    Args:
        shape: height and width of the image, preceded by the number of frames for a clip.
        radius: support radius of the descriptor in pixels. With ``reflect``, sides must exceed the radius; with
            ``valid``, sides must exceed twice the radius.
        border: border rule, ``reflect`` or ``valid``.
        name: name of the descriptor, for the message.

    Raises:
        ValueError: a side is too small.
    """
    smallest = 1 + (2 * radius if border == "valid" else radius)
    if min(shape) < smallest:
        sides = " x ".join(map(str, shape))
        raise ValueError(f"{name} with border={border!r} needs sides of at least {smallest} pixels here, got {sides}")


def all_gradients() -> tuple[np.ndarray, np.ndarray]:
    """Return both components of every gradient, float64 [511²], in the order of :func:`gradient_index`."""
    values = np.arange(-255.0, 256.0)
    first, second = np.meshgrid(values, values, indexing="ij")
    return first.ravel(), second.ravel()


def gradient_index(first: Tensor, second: Tensor, *, out: Tensor) -> Tensor:
    """Return the index of each gradient in a lookup table of all gradients.

    Args:
        first: int16 components from -255 to 255.
        second: second components, of the same shape.
        out: int32 tensor for the result.
    """
    return out.copy_(first).mul_(GRADIENT_SPAN).add_(second).add_(ZERO_GRADIENT)


def as_table(values: np.ndarray, device: torch.device) -> Tensor:
    """Convert the values of a lookup table to a tensor on a device."""
    return torch.from_numpy(np.ascontiguousarray(values)).to(device)
