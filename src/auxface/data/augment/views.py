"""Views that an objective requests by name, each with the affine map from the view to the source image.

A view is an augmented copy of a batch. Each kind of view is registered under a name and takes options, so one training
step can hold several views of several sizes. Another package adds a kind with the entry point group ``auxface.views``.
The primary view and the clean view, which every step has, are in :mod:`auxface.data.augment.presets`.

Coordinates are continuous and count pixels from the upper left corner of an image: x to the right and y downwards. The
pixel in column c and row r covers c to c + 1 and r to r + 1, so its center is at (c + 0.5, r + 0.5).

Example:
    >>> import torch
    >>> images = torch.zeros(4, 3, 64, 64, dtype=torch.uint8)
    >>> request = ViewRequest("contrast_crop", {"number": 2})
    >>> view = make_view(request, images, torch.arange(4), size=32)
    >>> view.images.shape, view.affine.shape
    (torch.Size([4, 3, 32, 32]), torch.Size([4, 2, 3]))
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from auxface.data.augment.geometry import crop_map, crop_resize, random_boxes, whole_pixels
from auxface.data.augment.photometric import jitter, luma
from auxface.data.augment.spectrogram import cropped_in_time, masked_bands
from auxface.data.random import uniforms
from auxface.errors import InputError
from auxface.plugins import Registry, nearest

Option = bool | int | float | str | tuple[float, ...]

_CONTRAST_STREAM = 211
_SPECTROGRAM_STREAM = 431


@dataclass(frozen=True)
class View:
    """One augmented copy of a batch.

    Attributes:
        images: float32 [B, 3, h, w] RGB in 0..1.
        affine: float32 [B, 2, 3], maps a position (x, y, 1) in the view to the position (x, y) in the source image. A
            position outside the source was filled with a constant or with the source's edge.
        source: side of the source image in pixels.
    """

    images: Tensor
    affine: Tensor
    source: int


@dataclass(frozen=True)
class ViewRequest:
    """A view that an objective requests; hashable, so that it can be the key of the view in a batch.

    Attributes:
        name: the name of a registered kind of view.
        options: the options of that kind, given as a mapping or as pairs; kept as pairs sorted by name.
        size: side of the view in pixels; None for the size of the primary view.
    """

    name: str
    options: Mapping[str, Option] | tuple[tuple[str, Option], ...] = ()
    size: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "options", tuple(sorted(dict(self.options).items())))


@dataclass(frozen=True)
class ViewMaker:
    """A registered kind of view.

    Attributes:
        name: the name in a :class:`ViewRequest`.
        function: makes the view from (images uint8 [B, 3, S, S], seeds int64 [B], size) and keyword-only options, which
            all have defaults. A row may depend on its own image and seed only.
    """

    name: str
    function: Callable[..., View]

    @property
    def options(self) -> dict[str, Option]:
        """The names of the options and their defaults."""
        parameters = inspect.signature(self.function).parameters.values()
        return {item.name: item.default for item in parameters if item.kind is item.KEYWORD_ONLY}


registry = Registry("view", "auxface.views", ViewMaker)


def make_view(request: ViewRequest, images: Tensor, seeds: Tensor, size: int) -> View:
    """Make the requested view of a batch.

    A row of the view depends on its own image and seed only: not on the device, the batch or the order.

    Args:
        request: which view.
        images: uint8 [B, 3, S, S] RGB, S of any size.
        seeds: int64 [B], see :func:`auxface.data.random.sample_seeds`.
        size: side of the view in pixels if the request has no size.

    Raises:
        InputError: the kind of view or one of the options is unknown.
    """
    maker = registry.get(request.name)
    for name, _ in request.options:
        if name not in maker.options:
            have = f"expected one of {', '.join(maker.options)}" if maker.options else "it has none"
            raise InputError(f"view '{request.name}' has no option '{name}'{nearest(name, maker.options)}; {have}")
    return maker.function(images, seeds, request.size or size, **dict(request.options))


def contrast_crop(
    images: Tensor,
    seeds: Tensor,
    size: int,
    *,
    number: int = 1,
    mirror: bool = True,
    area: tuple[float, float] = (0.4, 1.0),
) -> View:
    """Make a crop for contrastive learning, following SimCLR (Chen et al., 2020) without its blur.

    The crop is mirrored with probability 1/2. Brightness, contrast and saturation change by up to 0.4 with probability
    4/5. The result is gray with probability 1/5. Blur and solarizing are not used: both hide the traces of a forgery.

    Args:
        images: uint8 [B, 3, S, S].
        seeds: int64 [B].
        size: side of the view in pixels.
        number: number of the crop; crops of the same image with different numbers are independent.
        mirror: whether the crop is mirrored at random.
        area: smallest and largest fraction of the image that the crop covers.
    """
    chance = uniforms(seeds, 10, stream=_CONTRAST_STREAM + number)
    boxes = whole_pixels(
        random_boxes(chance[:, :4], images.shape[-1], area=area, ratio=(3 / 4, 4 / 3)), images.shape[-1]
    )
    flipped = (chance[:, 4] < 0.5) & mirror
    crops = crop_resize(images, boxes, flipped, size)
    factors = torch.where(chance[:, 8:9] < 0.8, 0.6 + 0.8 * chance[:, 5:8], 1.0)
    colored = jitter(crops, factors)
    made = torch.where((chance[:, 9] < 0.2)[:, None, None, None], luma(colored), colored)
    return View(made, crop_map(boxes, flipped, size)[:, :2], images.shape[-1])


registry.register(ViewMaker("contrast_crop", contrast_crop))


def spectrogram_crop(
    images: Tensor, seeds: Tensor, size: int, *, number: int = 1, shortest: float = 0.5, masks: int = 2
) -> View:
    """Make a crop in time of log-mel images, with masked frequencies and times (SpecAugment, Park et al., 2019).

    The crop keeps its tempo: it starts at the left edge, and silence follows it. Each mask covers up to an eighth of
    the mel bands or of the time steps. Nothing is mirrored, since the order of time and of pitch has a meaning.

    Args:
        images: uint8 [B, 3, S, S], time from left to right, high frequencies at the top.
        seeds: int64 [B].
        size: side of the view in pixels.
        number: number of the crop; crops of the same image with different numbers are independent.
        shortest: smallest fraction of the time that the crop keeps.
        masks: number of masks in frequency and in time.
    """
    source, stream = images.shape[-1], _SPECTROGRAM_STREAM + 2 * number
    crop, maps = cropped_in_time(images, uniforms(seeds, 2, stream=stream), size, shortest)
    chance = uniforms(seeds, 4 * masks, stream=stream + 1).view(-1, masks, 2, 2)
    return View(masked_bands(crop.float().div_(255), chance), maps, source)


registry.register(ViewMaker("spectrogram_crop", spectrogram_crop))
