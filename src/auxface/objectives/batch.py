"""The batch of a step, and the texture map that can replace its images.

If an ``input`` is ``texture``, the encoder or the classifier receives a texture map instead of the image.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from auxface import texture
from auxface.data.augment.mixup import Mixed
from auxface.data.augment.views import View, ViewRequest
from auxface.errors import InputError
from auxface.recipe import TextureInput


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Views, labels and seeds of B images or video clips; clips have a frame axis T after the batch axis.

    Attributes:
        primary: float [B, 3, H, W] or [B, T, 3, H, W] in [0, 1]: the input view of the primary objective.
        clean: uint8, same shape: the view with the geometry of ``primary`` but without photometric changes or erasing,
            from which targets are computed.
        labels: labels by task. Class: int64 [B], -1 if unknown. Binary and ordinal: float [B]; multilabel: float [B,
            A]; NaN if unknown.
        seeds: int64 [B], random seed of each image in this epoch, from which masks are drawn.
        indices: int64 [B], positions of the images in the training split.
        views: views that the objectives requested; views of video clips have a frame axis after the batch axis.
        mixed: mixup or CutMix view that replaces ``primary`` in the primary objective; None if both are disabled.
        scale: factor by which every mean over images is multiplied, so that the mean over micro-batches is the mean
            over the step.
        label_counts: divisor of the sum of losses in a micro-batch, by task; for a task without an entry, the divisor
            is the number of known labels of the task.
        weights: float [B], weight of each image in the primary objective; None for equal weights.
        to_source: float32 [B, 2, 3], affine map from a position (x, y, 1) in the views to the corresponding position in
            the source image, both as fractions of width and height; None if the views are the whole source images.
    """

    primary: Tensor
    clean: Tensor
    labels: Mapping[str, Tensor]
    seeds: Tensor
    indices: Tensor | None = None
    views: Mapping[ViewRequest, View] = field(default_factory=dict)
    mixed: Mixed | None = None
    scale: float = 1.0
    label_counts: Mapping[str, float] = field(default_factory=dict)
    weights: Tensor | None = None
    to_source: Tensor | None = None


def texture_image(images: Tensor, options: TextureInput) -> Tensor:
    """Convert images to their texture maps; both are float [B, 3, H, W] in [0, 1].

    Images are first rounded to integers in 0..255, because descriptors require integers. The values of a map are the
    scalar encoding (code divided by the largest code). A single map fills all three channels, three maps fill one
    channel each, and any other number of maps is averaged. The encoder standardizes maps in the same way as images.
    """
    with torch.no_grad():
        pixels = (images * 255).round().clamp(0, 255).to(torch.uint8)
        codes = texture.describe(texture.gray(pixels), options.name, **options.parameters)
        maps = torch.as_tensor(texture.encode_target(codes, options.name, "scalar", **options.parameters)).float()
        maps = maps if maps.ndim == 4 else maps.unsqueeze(1)
        maps = maps if maps.shape[1] in (1, 3) else maps.mean(dim=1, keepdim=True)
        return maps.expand(-1, 3, -1, -1).contiguous()


def check_texture_input(options: TextureInput) -> None:
    """Check that a texture map can replace an image.

    Raises:
        InputError: the descriptor or a parameter is unknown, or the descriptor is for video clips or does not have a
            value for every pixel.
    """
    try:
        descriptor = texture.get(options.name)
        output = descriptor.describe_output(**options.parameters)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"texture_input: {error.args[0] if error.args else error}") from None
    if descriptor.input != "image":
        raise InputError(f"texture_input: {options.name} requires video clips; use a descriptor for images")
    if output.cell != 1:
        raise InputError(
            f"texture_input: {options.name} has one value per cell of {output.cell} x {output.cell} pixels; use a "
            "descriptor with a value for every pixel"
        )
