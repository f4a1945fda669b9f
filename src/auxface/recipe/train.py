"""The optimisation section of a recipe."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from auxface.recipe.strict import Count, Fraction, Positive, Strict


class SelfBlend(Strict):
    """Forgeries made on the fly of real faces (Shiohara and Yamasaki, 2022); ``self_blend: LABEL`` will do."""

    label: str = "forged"
    """The binary label that says forged; added, all real, where the manifest lacks it."""
    fraction: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Share of the pictures that is blended with itself."""


class Train(Strict):
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
    self_blend: SelfBlend | None = None
    """Learn a forgery label from real faces alone; known forgeries are left out of training and validation."""
    mixup: Annotated[float, Field(ge=0)] = 0.0
    """Alpha of mixup (Zhang et al., 2018) for the classifier's view; 0: off."""
    cutmix: Annotated[float, Field(ge=0)] = 0.0
    """Alpha of CutMix (Yun et al., 2019) for the classifier's view; 0: off. Where both are on, each step draws one."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """``auto``: bf16 on a GPU that has it, else fp32."""
    select_on: Literal["balanced_accuracy", "accuracy", "macro_f1", "loss"] = "balanced_accuracy"
    """Validation figure that chooses the checkpoint (the mean over the tasks)."""
    validate_every: Count = 1
    """Epochs between two looks at the validation split."""

    @field_validator("self_blend", mode="before")
    @classmethod
    def _label(cls, value: Any) -> Any:
        return {"label": value} if isinstance(value, str) else value
