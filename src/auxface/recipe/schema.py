"""The fields of a recipe with their meaning, bounds and defaults.

Where the published systems state a value, it is the default (SSAT: Das et al., 2023, arXiv 2310.20704); the others are
ours and are named so in ``docs/method.md``.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
Width = Annotated[int, Field(ge=4, le=8192)]
Depth = Annotated[int, Field(ge=1, le=128)]
Heads = Annotated[int, Field(ge=1, le=128)]
View = Literal["rgb", "texture"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class TaskOptions(_Strict):
    """How one label of the manifest is learned."""

    classes: tuple[str, ...] = ()
    """Class names, in order, that the manifest must have; empty: whatever it has."""
    weight: Positive = 1.0
    """Weight among the primary tasks."""


class Primary(_Strict):
    """The supervised side."""

    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of the target spread evenly over the classes (single-label tasks)."""


class Target(_Strict):
    """One thing that the decoder rebuilds."""

    name: str = "rgb"
    """``rgb`` or the name of a texture descriptor."""
    encoding: Literal["scalar", "bits", "histogram"] = "scalar"
    """What the decoder predicts of each code; ``rgb`` has only ``scalar``."""
    weight: Positive = 1.0
    """Weight among the targets."""
    parameters: dict[str, Any] = Field(default_factory=dict)
    """Parameters of the descriptor, such as ``k`` or ``radius``."""


class Auxiliary(_Strict):
    """The self-supervised side: a masked autoencoder on the shared encoder."""

    target: tuple[Target, ...] = (Target(),)
    """What is rebuilt of the hidden patches; a name, a mapping, or a list of them."""
    mask_ratio: Annotated[float, Field(gt=0, lt=1)] = 0.75
    """Share of the patches that is hidden; exactly round(mask_ratio * patches)."""
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


class Encoder(_Strict):
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


class Train(_Strict):
    """The optimisation."""

    epochs: Count = 100
    batch_size: Count = 64
    base_learning_rate: Positive = 1e-3
    """Per 256 pictures of batch: the rate is base_learning_rate * batch_size / 256."""
    min_learning_rate: Annotated[float, Field(ge=0)] = 1e-6
    warmup_fraction: Fraction = 0.05
    """Share of the steps over which the rate rises linearly from 0."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.05
    betas: tuple[Fraction, Fraction] = (0.9, 0.999)
    clip_norm: Positive | None = None
    """Largest norm of the gradient; empty: no clipping."""
    augment: Literal["none", "light", "ssat", "forensic"] = "light"
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """``auto``: bf16 on a GPU that has it, else fp32."""
    select_on: Literal["balanced_accuracy", "accuracy", "macro_f1", "loss"] = "balanced_accuracy"
    """Validation figure that chooses the checkpoint (the mean over the tasks)."""
    validate_every: Count = 1
    """Epochs between two looks at the validation split."""


class Recipe(_Strict):
    """Everything that decides a training besides the manifest."""

    name: str = "recipe"
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    tasks: dict[str, TaskOptions] = Field(default_factory=dict)
    """Labels of the manifest to learn; a list of names will do; empty: all that are not identities."""
    primary_weight: Fraction = 0.1
    """loss = primary_weight * primary + (1 - primary_weight) * auxiliary."""
    primary: Primary = Primary()
    auxiliary: Auxiliary | None = None
    encoder: Encoder = Encoder()
    train: Train = Train()

    @field_validator("tasks", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        if isinstance(value, str):
            value = [value]
        return {name: {} for name in value} if isinstance(value, (list, tuple)) else value

    @model_validator(mode="after")
    def _check(self) -> "Recipe":
        if self.auxiliary is None and self.primary_weight != 1:
            raise ValueError("without an auxiliary, primary_weight must be 1")
        return self
