"""The encoder interface and the registry of encoder families.

Example:
    >>> from auxface.encoders import build_encoder, random_mask
    >>> from auxface.recipe import Encoder
    >>> encoder = build_encoder(Encoder(image_size=32, patch_size=8, width=24, depth=1, heads=3))
    >>> images = torch.rand(2, 3, 32, 32)
    >>> encoder(images).pooled.shape
    torch.Size([2, 24])
    >>> encoder(images, random_mask(torch.tensor([1, 2]), patches=16, mask_ratio=0.75)).tokens.shape
    torch.Size([2, 4, 24])

Each family registers the model names that it accepts. :func:`build_encoder` builds the encoder of a recipe:
    >>> from auxface.encoders import build_encoder
    >>> from auxface.recipe import Encoder
    >>> encoder = build_encoder(Encoder(name="vit_tiny_patch16_224", image_size=64))
    >>> encoder.grid, encoder.width
    ((4, 4), 192)
"""

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import timm
import torch
from torch import Tensor, nn

from auxface.encoders.masking import Mask
from auxface.errors import InputError
from auxface.plugins import Registry, nearest
from auxface.recipe import Encoder


@dataclass(frozen=True)
class Features:
    """The output of an encoder.

    Attributes:
        tokens: patch tokens [B, T, D]. Column-shaped and video encoders return one token per visible patch, in the
            order of ``Mask.visible``. Hierarchical encoders return one token per patch of the grid, including the
            hidden patches.
        pooled: pooled features [B, D] of the whole image or clip.
        prefix: class and register tokens [B, P, D]; P may be 0.
    """

    tokens: Tensor
    pooled: Tensor
    prefix: Tensor


class MaskableEncoder(nn.Module):
    """An encoder that can mask patches of its input.

    ``embed`` and ``encode`` are separate because a joint step embeds an image once but encodes it twice: the complete
    image and the masked image.

    Args:
        grid: number of rows and columns of patches.
        width: dimension D of the tokens and of the pooled features.
        patch_size: side length of a patch in pixels.
        mean: channel means of images in [0, 1].
        std: channel standard deviations of images in [0, 1].

    Attributes:
        image_size: side length of the square image in pixels.
        mean: channel means as a buffer, float [1, 3, 1, 1].
        std: channel standard deviations as a buffer, float [1, 3, 1, 1].
    """

    def __init__(
        self, grid: tuple[int, int], width: int, patch_size: int, mean: Sequence[float], std: Sequence[float]
    ) -> None:
        super().__init__()
        self.grid = grid
        self.width = width
        self.patch_size = patch_size
        self.image_size = grid[0] * patch_size
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    @abstractmethod
    def embed(self, images: Tensor) -> Tensor:
        """Embed images, float [B, 3, H, W] in [0, 1], as input for ``encode``; the result does not depend on a mask."""

    @abstractmethod
    def encode(self, embedded: Tensor, mask: Mask | None = None) -> Features:
        """Encode all patches, or only the visible ones. Hidden pixels do not affect the result."""

    def forward(self, images: Tensor, mask: Mask | None = None) -> Features:
        """Embed and encode images."""
        return self.encode(self.embed(images), mask)

    def forward_auxiliary(self, images: Tensor) -> Features:
        """Encode complete images that only an auxiliary objective uses, such as crops for a contrastive loss.

        Batch norms keep separate running statistics for these images and for the images of the classifier.
        """
        return self(images)

    @property
    def last_stage(self) -> nn.Module:
        """The last block or stage, shared by complete and masked images (default: last module with weights)."""
        return next(child for child in reversed(list(self.children())) if any(True for _ in child.parameters()))

    def shared_parameters(self) -> list[nn.Parameter]:
        """Return the trainable parameters of the last stage, which are used to compare gradients of objectives."""
        return [parameter for parameter in self.last_stage.parameters() if parameter.requires_grad]


def build_encoder(options: Encoder) -> MaskableEncoder:
    """Build the encoder of a recipe; initial random weights are drawn from torch's global generator.

    Raises:
        InputError: no family accepts the name, the model does not accept a size, or the model's pretrained weights are
            not available on this machine.
    """
    family = family_of(options.name)
    if family is None:
        hint = nearest(options.name.partition(".")[0], timm.list_models(), count=5)
        raise InputError(f"encoder.name '{options.name}' is not a timm model{hint}")
    encoder = family.build(options)
    if options.num_frames is not None and len(encoder.grid) == 2:
        raise InputError(
            f"encoder '{options.name}' is an image encoder; remove encoder.num_frames, or choose a video encoder: "
            "videomae_tiny, videomae_small, videomae_base"
        )
    if options.patch_size not in (None, encoder.patch_size):
        raise InputError(
            f"encoder '{options.name}' has a patch size of {encoder.patch_size} pixels, not {options.patch_size}; "
            "remove encoder.patch_size"
        )
    return encoder


@dataclass(frozen=True)
class Family:
    """A family of encoders that mask patches in the same way.

    Attributes:
        name: unique name of the family.
        accepts: function that returns whether a recipe's ``encoder.name`` belongs to this family.
        build: function that builds the encoder; it raises :class:`auxface.errors.InputError` for invalid options.
        examples: name of the smallest model of each architecture, for the documentation and for the contract test of
            families.
    """

    name: str
    accepts: Callable[[str], bool]
    build: Callable[[Encoder], MaskableEncoder]
    examples: tuple[str, ...] = ()


registry = Registry("encoder family", "auxface.encoders", Family)
register = registry.register


def families() -> tuple[Family, ...]:
    """Return all families, the most recently registered first, so that other packages can override auxface's names."""
    return tuple(reversed(registry.available().values()))


def family_of(name: str) -> Family | None:
    """Return the first family that accepts the name of an encoder, or None."""
    return next((family for family in families() if family.accepts(name)), None)


def grid_positions(grid: tuple[int, ...], width: int) -> Tensor:
    """Return position embeddings for a grid (rows, columns) of an image or (time slices, rows, columns) of a clip.

    Returns:
        Embeddings, float32 [N, width], from :func:`sincos_positions` for images and :func:`sinusoid_positions` for
        clips.
    """
    if len(grid) == 2:
        return sincos_positions((grid[0], grid[1]), width)
    return sinusoid_positions(math.prod(grid), width)


def sincos_positions(grid: tuple[int, int], width: int, prefix: int = 0) -> Tensor:
    """Return position embeddings of image patches (He et al., 2022), float32 [prefix + rows * columns, width].

    The first half of the width encodes the column, and the second half encodes the row. Each half consists of the sines
    and then the cosines at frequencies 1 / 10000^(2i / (width / 2)). The embeddings of the ``prefix`` tokens are zero.

    Raises:
        ValueError: ``width`` is not a multiple of 4.
    """
    if width % 4:
        raise ValueError(f"sine-cosine position embeddings require a width that is a multiple of 4, not {width}")
    frequency = 10000.0 ** -(torch.arange(width // 4, dtype=torch.float64) / (width // 4))
    rows, columns = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) for n in grid), indexing="ij")
    angles = [place.reshape(-1, 1) * frequency for place in (columns, rows)]
    table = torch.cat([part for angle in angles for part in (angle.sin(), angle.cos())], dim=1)
    return torch.cat([torch.zeros(prefix, width, dtype=torch.float64), table]).float()


def sinusoid_positions(count: int, width: int) -> Tensor:
    """Return position embeddings of a token sequence (Tong et al., 2022), float32 [count, width].

    Sines and cosines at frequencies 1 / 10000^(2i / width) alternate.
    """
    number = torch.arange(width) // 2
    angles = torch.arange(count, dtype=torch.float64).outer(10000.0 ** -(2.0 * number.double() / width))
    return torch.where(torch.arange(width) % 2 == 0, angles.sin(), angles.cos()).float()
