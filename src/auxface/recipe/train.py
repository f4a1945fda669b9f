"""The optimisation section of a recipe."""

from typing import Annotated, Literal

from pydantic import Field

from auxface.recipe.strict import Count, Fraction, Positive, Strict


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
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """``auto``: bf16 on a GPU that has it, else fp32."""
    select_on: Literal["balanced_accuracy", "accuracy", "macro_f1", "loss"] = "balanced_accuracy"
    """Validation figure that chooses the checkpoint (the mean over the tasks)."""
    validate_every: Count = 1
    """Epochs between two looks at the validation split."""
