"""A Vision Transformer for video clips, the encoder of VideoMAE (Tong et al., 2022).

A token is a tubelet: a square patch over several frames. There is no class token, position embeddings are fixed, and
hidden tubelets are dropped.

Example:
    >>> encoder = VideoEncoder(frames=4, image_size=32, width=24, depth=1, heads=3)
    >>> encoder(torch.rand(1, 4, 3, 32, 32)).tokens.shape
    torch.Size([1, 8, 24])
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from auxface.encoders.maskable import Family, Features, MaskableEncoder, grid_positions, register
from auxface.encoders.masking import Mask
from auxface.errors import InputError
from auxface.plugins import nearest
from auxface.recipe import Encoder

SIZES = {
    "videomae_tiny": (192, 12, 3),
    "videomae_small": (384, 12, 6),
    "videomae_base": (768, 12, 12),
    "videomae_large": (1024, 24, 16),
    "videomae_huge": (1280, 32, 16),
}
"""Width, depth and number of heads of each video encoder, by name."""

# A recipe may be untrusted, and the position embeddings of a very large grid could exhaust the memory.
MAX_TOKENS = 32768


class VideoEncoder(MaskableEncoder):
    """A transformer over the tubelets of a clip; the pooled features are the normalized mean of the tokens.

    Args:
        frames: number of frames T of a clip.
        tubelet: number of frames per token.
        image_size: side length of a square frame in pixels.
        patch_size: side length of a token in pixels.
        width: dimension D of the tokens.
        depth: number of blocks.
        heads: number of attention heads.
        drop_path: stochastic depth rate of the last block; rates increase linearly from 0 over the blocks.
        mean: channel means of frames in [0, 1].
        std: channel standard deviations of frames in [0, 1].

    Attributes:
        grid: number of time slices, rows and columns of tokens; tokens are numbered by time slice, row and column.

    Raises:
        ValueError: the clip cannot be divided into tubelets or patches, or the width is not a multiple of the number of
            heads.
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
                f"tubelets of {tubelet} x {patch_size} x {patch_size} do not divide clips of {frames} x {image_size} x "
                f"{image_size}"
            )
        if width % heads:
            raise ValueError(f"width {width} must be a multiple of heads {heads}")
        side = image_size // patch_size
        super().__init__((side, side), width, patch_size, mean, std)
        self.grid = (frames // tubelet, side, side)  # pyright: ignore[reportAttributeAccessIssue]
        self.frames = frames
        self.tubelet = tubelet
        self.heads = heads
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
        """Return the patterns that group parameters by layer for ``train.layer_decay``, as in timm models."""
        return {"stem": r"^patches", "blocks": [(r"^blocks\.(\d+)", None), (r"^norm|^pooled_norm", (99999,))]}

    @property
    def last_stage(self) -> nn.Module:
        """The last transformer block."""
        return self.blocks[-1]

    def embed(self, images: Tensor) -> Tensor:
        """Embed clips, float [B, T, 3, H, W] in [0, 1], as tokens [B, N, D], and add position embeddings.

        Raises:
            ValueError: the clips have the wrong length or size.
        """
        expected = (self.frames, 3, self.image_size, self.image_size)
        if tuple(images.shape[1:]) != expected:
            raise ValueError(f"expected clips [B, {', '.join(map(str, expected))}], not {list(images.shape)}")
        standard = ((images - self.mean) / self.std).transpose(1, 2)
        return self.patches(standard).flatten(2).transpose(1, 2) + self.positions

    def encode(self, embedded: Tensor, mask: Mask | None = None) -> Features:
        """Run the blocks on all tokens, or only on the visible ones."""
        if mask is not None:
            embedded = embedded.gather(1, mask.visible.unsqueeze(-1).expand(-1, -1, embedded.shape[-1]))
        tokens = self.blocks(embedded)
        return Features(self.norm(tokens), self.pooled_norm(tokens.mean(dim=1)), tokens[:, :0])


def inflate(kernel: Tensor, tubelet: int) -> Tensor:
    """Inflate a 2D patch embedding [D, C, p, p] to 3D, [D, C, tubelet, p, p] (Carreira and Zisserman, 2017).

    The 3D embedding of a clip of identical frames equals the 2D embedding of one frame.
    """
    return torch.stack([kernel / tubelet] * tubelet, dim=2)


def build_video(options: Encoder) -> VideoEncoder:
    """Build a video encoder for :func:`auxface.encoders.build_encoder`.

    Raises:
        InputError: the name is unknown, the number of frames is missing, or an option does not apply to video encoders.
    """
    if options.name not in SIZES:
        hint = nearest(options.name, SIZES)
        raise InputError(
            f"encoder.name '{options.name}' is not a video encoder{hint}; expected one of {', '.join(SIZES)}"
        )
    if options.num_frames is None:
        raise InputError(f"encoder '{options.name}' is a video encoder; set encoder.num_frames, for example to 16")
    if options.positions == "learned":
        raise InputError(f"encoder '{options.name}' has fixed position embeddings; remove encoder.positions")
    if options.output_stride is not None:
        raise InputError(
            f"encoder '{options.name}' does not support encoder.output_stride; remove encoder.output_stride"
        )
    if options.pretrained:
        raise InputError(
            f"timm has no weights for '{options.name}'; set encoder.init_from to a VideoMAE directory of the "
            "transformers library, or to the weights of an image model"
        )
    width, depth, heads = SIZES[options.name]
    tubelet, side = options.tubelet_size or 2, options.patch_size or 16
    tokens = options.num_frames // tubelet * (options.image_size // side) ** 2
    if tokens > MAX_TOKENS:
        raise InputError(
            f"encoder '{options.name}': a clip would have {tokens} tokens; at most {MAX_TOKENS} are allowed; use "
            "fewer or smaller frames, or larger patches"
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


FAMILY = register(
    Family(
        name="video",
        accepts=lambda name: name.startswith("videomae"),
        build=build_video,
        examples=("videomae_tiny",),
    )
)
