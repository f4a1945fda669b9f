"""A Vision Transformer over clips, as VideoMAE has it (Tong et al., 2022): tubelets, no class token.

Encoders of clips by the names and sizes of VideoMAE (Tong et al., 2022).
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from auxface.encoders.maskable import Features, MaskableEncoder, grid_positions
from auxface.encoders.masking import Mask
from auxface.encoders.registry import Family, register
from auxface.errors import InputError
from auxface.plugins import nearest
from auxface.recipe import Encoder


class VideoEncoder(MaskableEncoder):
    """Tubelets of a clip to tokens, hidden ones dropped; the clip as a whole is the mean of its tokens, normalized.

    Args:
        frames: frames of a clip, T.
        tubelet: frames of one token.
        image_size: side of a square frame in pixels.
        patch_size: side of a token in pixels.
        width: length of a token.
        depth: blocks.
        heads: attention heads.
        drop_path: stochastic depth rate of the last block, rising linearly from 0.
        mean: channel means of frames in [0, 1].
        std: channel standard deviations.

    Attributes:
        grid: time slices, patches down, patches across; tokens are numbered in that order.

    Raises:
        ValueError: tubelets or patches do not tile the clip, or heads do not divide the width.
    """

    def __init__(
        self,
        *,
        frames: int = 16,
        tubelet: int = 2,
        image_size: int = 112,
        patch_size: int = 16,
        width: int = 192,
        depth: int = 12,
        heads: int = 3,
        drop_path: float = 0.0,
        mean: Sequence[float] = (0.485, 0.456, 0.406),
        std: Sequence[float] = (0.229, 0.224, 0.225),
    ) -> None:
        if frames % tubelet or image_size % patch_size:
            raise ValueError(
                f"tubelets of {tubelet} frames and {patch_size} pixels do not tile {frames} frames of {image_size}"
            )
        if width % heads:
            raise ValueError(f"{heads} heads do not divide a width of {width}")
        side = image_size // patch_size
        super().__init__((side, side), width, patch_size, mean, std)
        self.grid = (frames // tubelet, side, side)  # pyright: ignore[reportAttributeAccessIssue]
        self.frames = frames
        self.tubelet = tubelet
        size = (tubelet, patch_size, patch_size)
        self.patches = nn.Conv3d(3, width, kernel_size=size, stride=size)
        self.positions: Tensor
        self.register_buffer("positions", grid_positions(self.grid, width).unsqueeze(0), persistent=False)
        norm = partial(nn.LayerNorm, eps=1e-6)
        rates = torch.linspace(0, drop_path, depth, device="cpu").tolist()
        self.blocks = nn.Sequential(
            *(Block(width, heads, qkv_bias=True, drop_path=rate, norm_layer=norm) for rate in rates)  # pyright: ignore[reportArgumentType]
        )
        self.norm = norm(width)
        self.pooled_norm = norm(width)
        for module in self.blocks.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        nn.init.xavier_uniform_(self.patches.weight.view(width, -1))

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Layers from the pixels up, in timm's words, for ``train.layer_decay``."""
        return {"stem": r"^patches", "blocks": [(r"^blocks\.(\d+)", None), (r"^norm|^pooled_norm", (99999,))]}

    def embed(self, images: Tensor) -> Tensor:
        """Clips in [0, 1], float [B, T, 3, H, W], to tokens with positions, [B, N, D].

        Raises:
            ValueError: clips of another length or size.
        """
        wanted = (self.frames, 3, self.image_size, self.image_size)
        if tuple(images.shape[1:]) != wanted:
            raise ValueError(f"expected clips [B, {', '.join(map(str, wanted))}], not {list(images.shape)}")
        standard = ((images - self.mean) / self.std).transpose(1, 2)
        return self.patches(standard).flatten(2).transpose(1, 2) + self.positions

    def encode(self, embedded: Tensor, mask: Mask | None = None) -> Features:
        """Run the blocks over every token, or over the visible ones alone."""
        if mask is not None:
            embedded = embedded.gather(1, mask.visible.unsqueeze(-1).expand(-1, -1, embedded.shape[-1]))
        tokens = self.blocks(embedded)
        return Features(self.norm(tokens), self.pooled_norm(tokens.mean(dim=1)), tokens[:, :0])


def inflate(kernel: Tensor, tubelet: int) -> Tensor:
    """An image's patch embedding [D, C, p, p] as a clip's, [D, C, tubelet, p, p] (Carreira and Zisserman, 2017).

    Of a clip that stands still it makes what the image's embedding makes of one frame.
    """
    return torch.stack([kernel / tubelet] * tubelet, dim=2)


# Width, blocks, heads.
SIZES = {
    "videomae_tiny": (192, 12, 3),
    "videomae_small": (384, 12, 6),
    "videomae_base": (768, 12, 12),
    "videomae_large": (1024, 24, 16),
    "videomae_huge": (1280, 32, 16),
}

# Their positions are made from the recipe alone, and a recipe may be a stranger's.
MAX_TOKENS = 32768


def build_video(options: Encoder) -> VideoEncoder:
    """A Vision Transformer over tubelets of a clip, with fixed positions.

    Raises:
        InputError: no such size, no frames, learned positions, timm's weights, or sizes that do not go together.
    """
    if options.name not in SIZES:
        hint = nearest(options.name, SIZES)
        raise InputError(f"encoder.name '{options.name}' is not known{hint}; for clips there are {', '.join(SIZES)}")
    if options.num_frames is None:
        raise InputError(f"encoder '{options.name}' sees clips; set encoder.num_frames, such as 16")
    if options.positions == "learned":
        raise InputError(f"encoder '{options.name}' has fixed positions; leave encoder.positions out")
    if options.output_stride is not None:
        raise InputError(f"encoder '{options.name}' takes no encoder.output_stride; leave it out")
    if options.pretrained:
        raise InputError(
            f"timm has no weights of '{options.name}'; set encoder.init_from to a VideoMAE directory of transformers, "
            "or to weights of images"
        )
    width, depth, heads = SIZES[options.name]
    tubelet, side = options.tubelet_size or 2, options.patch_size or 16
    tokens = options.num_frames // tubelet * (options.image_size // side) ** 2
    if tokens > MAX_TOKENS:
        raise InputError(
            f"encoder '{options.name}': a clip would have {tokens} tokens, at most {MAX_TOKENS}; take fewer or smaller "
            "frames, or larger patches"
        )
    try:
        return VideoEncoder(
            frames=options.num_frames,
            tubelet=tubelet,
            image_size=options.image_size,
            patch_size=side,
            width=options.width or width,
            depth=options.depth or depth,
            heads=options.heads or heads,
            drop_path=options.drop_path,
            mean=options.mean,
            std=options.std,
        )
    except ValueError as error:
        raise InputError(f"encoder '{options.name}': {error}") from None


register(Family("clips", lambda name: name.startswith("videomae"), build_video, examples=("videomae_tiny",)))
