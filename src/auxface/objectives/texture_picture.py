"""A texture map as a picture, for encoders that see texture in place of RGB."""

import torch
from torch import Tensor

from auxface import texture
from auxface.errors import InputError
from auxface.recipe import TextureInput


def texture_picture(images: Tensor, options: TextureInput) -> Tensor:
    """Pictures in [0, 1] to their texture map in [0, 1], both float [B, 3, H, W].

    The picture is rounded to 0..255 first, since codes need integers. A map's values are the scalar encoding (code over
    the largest code). A descriptor with one map fills all three channels with it, one with three gives a channel each,
    and of any other number the mean fills all three. The encoder standardises the map as it does a picture.
    """
    with torch.no_grad():
        pixels = (images * 255).round().clamp(0, 255).to(torch.uint8)
        codes = texture.describe(texture.gray(pixels), options.name, **options.parameters)
        maps = torch.as_tensor(texture.encode_target(codes, options.name, "scalar", **options.parameters)).float()
        maps = maps if maps.ndim == 4 else maps.unsqueeze(1)
        maps = maps if maps.shape[1] in (1, 3) else maps.mean(dim=1, keepdim=True)
        return maps.expand(-1, 3, -1, -1).contiguous()


def check_texture_input(options: TextureInput) -> None:
    """Refuse what cannot be seen as a picture.

    Raises:
        InputError: no such descriptor or parameter, a descriptor of clips, or one without a value for every pixel.
    """
    try:
        descriptor = texture.get(options.name)
        output = descriptor.describe_output(**options.parameters)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"texture_input: {error.args[0] if error.args else error}") from None
    if descriptor.input != "image":
        raise InputError(f"texture_input: {options.name} describes clips; name a descriptor of pictures")
    if output.cell != 1:
        raise InputError(
            f"texture_input: {options.name} has one value per {output.cell} pixels; name one with a value for each"
        )
