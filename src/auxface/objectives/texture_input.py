"""Texture maps as images, for an encoder or a classifier whose ``input`` is ``texture``."""

import torch
from torch import Tensor

from auxface import texture
from auxface.errors import InputError
from auxface.recipe import TextureInput


def texture_image(images: Tensor, options: TextureInput) -> Tensor:
    """Convert images to their texture maps; both are float [B, 3, H, W] in [0, 1].

    Images are rounded to 0..255 first, since codes need integers. The values of a map are the scalar encoding (code
    divided by the largest code). A descriptor with one map fills all three channels with it; one with three maps fills
    one channel with each; any other number of maps is averaged. The encoder standardizes a map as it does an image.
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
        InputError: an unknown descriptor or parameter, a descriptor of video clips, or a descriptor that has no value
            for every pixel.
    """
    try:
        descriptor = texture.get(options.name)
        output = descriptor.describe_output(**options.parameters)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"texture_input: {error.args[0] if error.args else error}") from None
    if descriptor.input != "image":
        raise InputError(f"texture_input: {options.name} describes video clips; use a descriptor of images")
    if output.cell != 1:
        raise InputError(
            f"texture_input: {options.name} has one value per {output.cell} pixels; use a descriptor with a value for "
            "every pixel"
        )
