"""The self-supervised side of a recipe: what is hidden, and what is rebuilt of it."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from auxface.recipe.objective_registry import AuxiliaryOptions
from auxface.recipe.strict import Depth, Heads, Positive, Strict, Width
from auxface.recipe.texture_input import Input


class Target(Strict):
    """One thing that the decoder rebuilds."""

    name: str = "rgb"
    """``rgb`` or the name of a texture descriptor."""
    encoding: Literal["scalar", "bits", "histogram"] = "scalar"
    """What the decoder predicts of each code; ``rgb`` has only ``scalar``."""
    weight: Positive = 1.0
    """Weight among the targets."""
    parameters: dict[str, Any] = Field(default_factory=dict)
    """Parameters of the descriptor, such as ``k`` or ``radius``."""


class Auxiliary(AuxiliaryOptions):
    """The self-supervised side: a masked autoencoder on the shared encoder."""

    input: Input = "rgb"
    """What is hidden in part: the picture, or its texture map (see ``texture_input``)."""
    target: tuple[Target, ...] = (Target(),)
    """What is rebuilt of the hidden patches; a name, a mapping, or a list of them."""
    mask_ratio: Annotated[float, Field(gt=0, lt=1)] = 0.75
    """Share of the patches that is hidden; exactly round(mask_ratio * patches)."""
    masking: Literal["random", "block", "tube", "textured", "flat"] = "random"
    """Which patches: any; rectangles; the same in every frame of a clip; rather those with much or little texture."""
    predict: Literal["masked", "all"] = "masked"
    """The decoder's last layer runs on hidden patches, or (as published) on all; the loss is of the hidden ones."""
    decoder_width: Width = 128
    decoder_depth: Depth = 2
    decoder_heads: Heads = 16
    normalise_target: bool = False
    """Rebuild each patch of a real-valued target with its own mean and variance removed."""

    @field_validator("target", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        items = value if isinstance(value, (list, tuple)) else [value]
        return [{"name": item} if isinstance(item, str) else item for item in items]

    @model_validator(mode="after")
    def _check(self) -> "Auxiliary":
        if not self.target:
            raise ValueError("needs at least one target")
        for target in self.target:
            if [t.name for t in self.target].count(target.name) > 1:
                raise ValueError(f"target {target.name} is named twice")
            if target.name == "rgb" and target.encoding != "scalar":
                raise ValueError(f"target rgb has no encoding '{target.encoding}'; use scalar")
        if self.decoder_width % self.decoder_heads:
            raise ValueError(f"decoder_heads {self.decoder_heads} must divide decoder_width {self.decoder_width}")
        return self
