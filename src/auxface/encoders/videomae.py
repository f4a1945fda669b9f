"""Encoders of clips by the names and sizes of VideoMAE (Tong et al., 2022)."""

import difflib

from auxface.encoders.registry import Family, register
from auxface.encoders.video import VideoEncoder
from auxface.errors import InputError
from auxface.recipe import Encoder

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
        near = difflib.get_close_matches(options.name, SIZES, n=1)
        hint = f" (did you mean '{near[0]}'?)" if near else ""
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
            "or to weights of pictures"
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
