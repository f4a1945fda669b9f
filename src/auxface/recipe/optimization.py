"""The section ``train`` of a recipe: optimization, augmentation, sampling, precision and selection."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from auxface.recipe.validation import Count, Fraction, Positive, Strict

BatchSize = Annotated[Annotated[int, Field(ge=1)] | Literal["auto"], Field(union_mode="left_to_right")]


class SelfBlend(Strict):
    """Forgeries made during training from real faces (Shiohara and Yamasaki, 2022); ``self_blend: LABEL`` is enough."""

    label: str = "forged"
    """The binary label of forgeries; where the manifest lacks it, it is added and all faces are real."""
    fraction: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Fraction of the images that are blended with themselves."""


class Train(Strict):
    """How a model is trained."""

    epochs: Count = 100
    batch_size: BatchSize = 64
    """Images per step, over all processes; ``auto``: the largest number that fits into memory, up to 256."""
    accumulate: Count = 1
    """Micro-batches per step, to save memory. The gradient is that of the whole step for encoders without batch
    normalization; batch normalization uses the statistics of each micro-batch, so the step differs."""
    base_learning_rate: Positive = 1e-3
    """Peak learning rate per 256 images: the peak is base_learning_rate * batch_size / 256."""
    min_learning_rate: Annotated[float, Field(ge=0)] = 1e-6
    warmup_fraction: Fraction = 0.05
    """Fraction of the steps over which the learning rate rises linearly from 0."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.05
    betas: tuple[Fraction, Fraction] = (0.9, 0.999)
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Factor of the learning rate from each layer of the encoder to the one below it (Bao et al., 2022); 1: equal
    rates."""
    clip_norm: Positive | None = None
    """Largest norm of the gradient; larger gradients are clipped. Empty: no clipping."""
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Decay of a moving average of the weights, which is validated and saved; empty: the weights themselves are."""
    augment: Literal["none", "light", "ssat", "forensic"] = "light"
    self_blend: SelfBlend | None = None
    """Learn a forgery label from real faces only; known forgeries are excluded from training and validation."""
    mixup: Annotated[float, Field(ge=0)] = 0.0
    """Alpha of mixup (Zhang et al., 2018) for the classifier's view; 0: off."""
    cutmix: Annotated[float, Field(ge=0)] = 0.0
    """Alpha of CutMix (Yun et al., 2019) for the classifier's view; 0: off. Where both are on, each step draws one of
    them."""
    group: str | None = None
    """Group column for ``sampling``, ``reweight_group``, ``group_dro`` and ``threshold_per_group``; no other group
    column is read in training."""
    sampling: Literal["uniform", "group_balanced", "class_balanced"] = "uniform"
    """``uniform``: every image once per epoch. Otherwise images are drawn with replacement, each group (or class)
    equally often."""
    reweight_group: bool = False
    """Give each group the same total weight in the primary objective, whatever its size."""
    group_dro: Positive | None = None
    """Step size of group DRO (Sagawa et al., 2020): groups with larger losses get larger weights in the primary
    objective. The published value is 0.01; it needs strong weight_decay or few epochs. Empty: off."""
    threshold_per_group: bool = False
    """Choose a threshold for each level of the group on the validation split (binary and multilabel tasks). It is used
    where the group is known, as in ``auxface evaluate``; ``predict`` uses one threshold for all."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """``auto``: bf16 on devices with bf16 units, fp32 otherwise. ``fp16`` is for GPUs only."""
    attention: Literal["auto", "fused", "plain"] = "auto"
    """``auto``: plain in bf16 on a CPU, where it is faster, and fused otherwise."""
    compile: bool = False
    """Compile the transformer blocks with torch.compile; worthwhile in long runs only."""
    checkpoint_activations: bool = False
    """Recompute activations in the backward pass: about a third slower, with a fraction of the memory."""
    select_on: Literal["balanced_accuracy", "accuracy", "macro_f1", "loss"] = "balanced_accuracy"
    """Validation figure that selects the weights: its mean over the tasks."""
    abstain_accuracy: Annotated[float, Field(gt=0, le=1)] | None = None
    """Accuracy that the model must reach on the validation split where it answers (class and binary tasks). The scores
    at which it abstains are chosen after training. Empty: it always answers."""
    validate_every: Count = 1
    """Epochs between two validations."""
    patience: Count | None = None
    """Stop after this many validations in a row without improvement; empty: train all epochs."""
    checkpoint_every: Count = 500
    """Steps between two checkpoints; a checkpoint is also written after every epoch."""
    tensorboard: bool = False
    """Write TensorBoard curves beside the log; needs the extra ``tensorboard``."""

    @field_validator("self_blend", mode="before")
    @classmethod
    def _label(cls, value: Any) -> Any:
        return {"label": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _check_group(self) -> "Train":
        weights = self.reweight_group or self.group_dro is not None or self.sampling == "group_balanced"
        reads = weights or self.threshold_per_group
        if reads != (self.group is not None):
            raise ValueError(
                "sampling group_balanced, reweight_group, group_dro and threshold_per_group need train.group"
                if reads
                else "group has no effect without sampling group_balanced, reweight_group, group_dro or "
                "threshold_per_group"
            )
        if self.threshold_per_group and self.abstain_accuracy is not None:
            raise ValueError("an abstain band needs one threshold; set either threshold_per_group or abstain_accuracy")
        if self.reweight_group and self.group_dro is not None:
            raise ValueError("reweight_group and group_dro both weight the groups; set one")
        return self

    @property
    def images_per_step(self) -> int:
        """The batch size as a number.

        Raises:
            ValueError: it is still ``auto``.
        """
        if isinstance(self.batch_size, str):
            raise ValueError("train.batch_size is still auto")
        return self.batch_size
