"""The encoder section of a recipe."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from auxface.recipe.strict import Depth, Heads, Positive, Strict, Width


class Encoder(Strict):
    """The shared encoder."""

    name: str = "vit_tiny_patch16_224"
    """Any timm Vision Transformer by name."""
    pretrained: bool = False
    """Start from timm's weights for that name (needs network or a local cache)."""
    image_size: Annotated[int, Field(ge=16, le=1024)] = 112
    """Side of the square picture in pixels."""
    patch_size: Annotated[int, Field(ge=2, le=64)] = 8
    """Side of a patch in pixels; must divide image_size."""
    width: Width | None = None
    """Overrides of the named architecture; empty: as named."""
    depth: Depth | None = None
    heads: Heads | None = None
    drop_path: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Stochastic depth rate of the last block, rising linearly from 0."""
    positions: Literal["sincos", "learned"] = "sincos"
    """Fixed 2-D sine-cosine positions, or learned ones (always learned when pretrained)."""
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[Positive, Positive, Positive] = (0.229, 0.224, 0.225)
    """Channel statistics of pictures in [0, 1]."""

    @model_validator(mode="after")
    def _check(self) -> "Encoder":
        if self.image_size % self.patch_size:
            raise ValueError(f"patch_size {self.patch_size} must divide image_size {self.image_size}")
        return self
