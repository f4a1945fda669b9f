"""The sections ``encoder`` and ``clips`` of a recipe."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from auxface.recipe.validation import Depth, Heads, Positive, Strict, Width

CLIPS = "videomae_"


class Encoder(Strict):
    """The shared encoder."""

    name: str = "vit_tiny_patch16_224"
    """Name of a timm model, of an encoder of another package, or of a video encoder: ``videomae_tiny``, ``_small``,
    ``_base``, ``_large`` or ``_huge``."""
    pretrained: bool = False
    """Start from timm's weights of that name; needs network or a local cache."""
    init_from: str | None = None
    """Start from local weights: an auxface model directory, a folder of transformers' ViTMAE or VideoMAE, or a
    safetensors file. Weights of an image encoder are inflated for a video encoder."""
    image_size: Annotated[int, Field(ge=16, le=1024)] = 112
    """Side of the square image in pixels."""
    patch_size: Annotated[int, Field(ge=2, le=64)] | None = None
    """Side of a patch in pixels; must divide image_size. Empty: 8 for the default encoder; for others, that of the
    named model. The patch of a hierarchical model is its total stride and cannot be set."""
    num_frames: Annotated[int, Field(ge=2, le=128)] | None = None
    """Frames of a clip, for video encoders only; empty: 16 for ``videomae_*``."""
    tubelet_size: Annotated[int, Field(ge=1, le=16)] | None = None
    """Frames of one token of a video encoder; must divide num_frames. Empty: 2."""
    width: Width | None = None
    """Length of a token (Vision Transformers only); empty: that of the named model."""
    depth: Depth | None = None
    """Number of blocks (Vision Transformers only); empty: that of the named model."""
    heads: Heads | None = None
    """Attention heads of a block (Vision Transformers only); empty: that of the named model."""
    drop_path: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Stochastic depth rate of the last block; it rises linearly from 0 at the first block."""
    output_stride: Literal[8, 16, 32] | None = None
    """Total stride of a convolutional model, which is the side of its patches: later layers are dilated instead of
    strided (Yu and Koltun, 2016). Empty: that of the named model, usually 32."""
    positions: Literal["sincos", "learned"] | None = None
    """Fixed 2-D sine-cosine positions or learned ones, for models that add positions to their tokens. Empty: ``sincos``
    from scratch, ``learned`` when pretrained."""
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    """Channel means that standardize images in [0, 1]."""
    std: tuple[Positive, Positive, Positive] = (0.229, 0.224, 0.225)
    """Channel standard deviations that standardize images in [0, 1]."""

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of one sample: (3, S, S), or (T, 3, S, S) for a clip."""
        image = (3, self.image_size, self.image_size)
        return image if self.num_frames is None else (self.num_frames, *image)

    @model_validator(mode="before")
    @classmethod
    def _name_defaults(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        if "name" not in data:
            return {"patch_size": 8, **data}
        if str(data["name"]).startswith(CLIPS):
            return {"num_frames": 16, "tubelet_size": 2, "patch_size": 16, **data}
        return data

    @model_validator(mode="after")
    def _check(self) -> "Encoder":
        if self.patch_size is not None and self.image_size % self.patch_size:
            raise ValueError(f"patch_size {self.patch_size} must divide image_size {self.image_size}")
        if self.tubelet_size is not None and self.num_frames is None:
            raise ValueError("tubelet_size is for video encoders; set num_frames too, or remove it")
        if self.num_frames is not None and self.num_frames % (self.tubelet_size or 1):
            raise ValueError(f"tubelet_size {self.tubelet_size} must divide num_frames {self.num_frames}")
        if self.pretrained and self.init_from is not None:
            raise ValueError("pretrained and init_from exclude each other; set one")
        if self.pretrained and self.positions == "sincos":
            raise ValueError("pretrained weights come with their own positions; leave positions out")
        return self


class Clips(Strict):
    """Clips spread evenly over each video, equal in training, validation and prediction."""

    stride: Annotated[int, Field(ge=1, le=1000)] = 4
    """Distance in frames between two frames of a clip (Tong et al., 2022: 4). A manifest of clips that ``prepare`` cut
    records its own."""
    per_video: Annotated[int, Field(ge=1, le=1000)] = 5
    """Largest number of clips per video; clips of a short video may overlap, but are never equal."""
