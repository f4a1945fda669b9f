"""Views that objectives request by name, each with the affine map from the view to the source image.

A view is an augmented copy of a batch. Each kind of view is registered under a name and takes options, so one training
step can use several views of different sizes. Other packages can add kinds of views through the entry point group
``auxface.views``. The primary view and the clean view, which are made in every step, are defined in
:mod:`auxface.data.augment.presets`.

Coordinates are continuous and measured in pixels from the upper left corner of an image, x to the right and y
downwards. The pixel in column c and row r covers c to c + 1 and r to r + 1, so its center is at (c + 0.5, r + 0.5).

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
        images: RGB images in 0..1, float32 [B, 3, h, w].
        affine: affine maps, float32 [B, 2, 3], from a position (x, y, 1) in the view to the position (x, y) in the
            source image. Positions outside the source were filled with a constant or with the edge of the source.
        source: side of the source image in pixels.
    """

    images: Tensor
    affine: Tensor
    source: int


@dataclass(frozen=True)
class ViewRequest:
    """A request of an objective for a view; hashable, so that it can be the key of the view in a batch.

    Attributes:
        name: name of a registered kind of view.
        options: options of that kind, given as a mapping or as pairs and stored as pairs sorted by name.
        size: side of the view in pixels, or None for the size of the primary view.
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
        name: name in a :class:`ViewRequest`.
        function: function that makes the view from images (uint8 [B, 3, S, S]), seeds (int64 [B]), a size and
            keyword-only options, all of which have defaults. A row may depend only on its own image and seed.
    """

    name: str
    function: Callable[..., View]

    @property
    def options(self) -> dict[str, Option]:
        """The names and default values of the options."""
        parameters = inspect.signature(self.function).parameters.values()
        return {item.name: item.default for item in parameters if item.kind is item.KEYWORD_ONLY}


registry = Registry("view", "auxface.views", ViewMaker)


def make_view(request: ViewRequest, images: Tensor, seeds: Tensor, size: int) -> View:
    """Make the requested view of a batch.

    A row of the view depends only on its own image and seed, not on the device or the other rows of the batch.

    Args:
        request: requested view.
        images: RGB images of any side S, uint8 [B, 3, S, S].
        seeds: seeds from :func:`auxface.data.random.sample_seeds`, int64 [B].
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
    4/5. The result is gray with probability 1/5. Blur and solarization are not used, because both hide the traces of a
    forgery.

    Args:
        images: images to crop, uint8 [B, 3, S, S].
        seeds: seeds of the images, int64 [B].
        size: side of the view in pixels.
        number: number that identifies the crop; crops of the same image with different numbers are independent.
        mirror: whether the crop is mirrored at random.
        area: minimum and maximum fraction of the image that the crop covers.
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
    """Crop log-mel images in time and mask bands of frequency and time (SpecAugment, Park et al., 2019).

    The tempo does not change: the crop starts at the left edge and is padded with silence. Each mask covers up to an
    eighth of the mel bands or of the time steps. Images are not mirrored, since the directions of time and pitch
    are meaningful.

    Args:
        images: log-mel images, uint8 [B, 3, S, S], with time from left to right and high frequencies at the top.
        seeds: seeds of the images, int64 [B].
        size: side of the view in pixels.
        number: number that identifies the crop; crops of the same image with different numbers are independent.
        shortest: minimum fraction of the time axis that the crop keeps.
        masks: number of frequency masks, and of time masks.
    """
    source, stream = images.shape[-1], _SPECTROGRAM_STREAM + 2 * number
    crop, maps = cropped_in_time(images, uniforms(seeds, 2, stream=stream), size, shortest)
    chance = uniforms(seeds, 4 * masks, stream=stream + 1).view(-1, masks, 2, 2)
    return View(masked_bands(crop.float().div_(255), chance), maps, source)


registry.register(ViewMaker("spectrogram_crop", spectrogram_crop))
