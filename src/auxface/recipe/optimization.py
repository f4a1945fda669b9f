"""The optimization section of a recipe."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from auxface.recipe.validation import Count, Fraction, Positive, Strict

BatchSize = Annotated[Annotated[int, Field(ge=1)] | Literal["auto"], Field(union_mode="left_to_right")]


class SelfBlend(Strict):
    """Forgeries made on the fly of real faces (Shiohara and Yamasaki, 2022); ``self_blend: LABEL`` will do."""

    label: str = "forged"
    """The binary label that says forged; added, all real, where the manifest lacks it."""
    fraction: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Share of the images that is blended with itself."""


class Train(Strict):
    """The optimization."""

    epochs: Count = 100
    batch_size: BatchSize = 64
    """Images per step, over all processes; ``auto``: the largest that fits the memory, up to 256."""
    accumulate: Count = 1
    """Parts that a step's images are taken in, for less memory. The gradient is that of the whole step for encoders
    without batch normalization; batch norms see the statistics of each part alone, which is another step."""
    base_learning_rate: Positive = 1e-3
    """Per 256 images of batch: the rate is base_learning_rate * batch_size / 256."""
    min_learning_rate: Annotated[float, Field(ge=0)] = 1e-6
    warmup_fraction: Fraction = 0.05
    """Share of the steps over which the rate rises linearly from 0."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.05
    betas: tuple[Fraction, Fraction] = (0.9, 0.999)
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Each layer of the encoder learns this much slower than the one above it (Bao et al., 2022); 1: all alike."""
    clip_norm: Positive | None = None
    """Largest norm of the gradient; empty: no clipping."""
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Validate and keep a moving average of the weights with this decay; empty: the weights themselves."""
    augment: Literal["none", "light", "ssat", "forensic"] = "light"
    self_blend: SelfBlend | None = None
    """Learn a forgery label from real faces alone; known forgeries are left out of training and validation."""
    mixup: Annotated[float, Field(ge=0)] = 0.0
    """Alpha of mixup (Zhang et al., 2018) for the classifier's view; 0: off."""
    cutmix: Annotated[float, Field(ge=0)] = 0.0
    """Alpha of CutMix (Yun et al., 2019) for the classifier's view; 0: off. Where both are on, each step draws one."""
    group: str | None = None
    """Group column that ``sampling``, ``reweight_group``, ``group_dro`` and ``threshold_per_group`` read; no other
    reaches the training."""
    sampling: Literal["uniform", "group_balanced", "class_balanced"] = "uniform"
    """``uniform``: every image once an epoch; else draws with replacement, each group (or class) equally often."""
    reweight_group: bool = False
    """Each group counts alike in the primary objective, however small it is."""
    group_dro: Positive | None = None
    """Step size of group DRO (Sagawa et al., 2020): the worse a group fares, the more it counts in the primary
    objective. 0.01 is the published one; wants strong weight_decay or few epochs. Empty: off."""
    threshold_per_group: bool = False
    """Choose a threshold for each level of the group on the validation split (binary and multilabel tasks), used where
    the group is known at test time, as in ``auxface evaluate``; ``predict``, which is told none, has one for all."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """``auto``: bf16 where the device computes in it (GPUs and processors with bf16 units), else fp32; ``fp16`` is for
    GPUs alone."""
    attention: Literal["auto", "fused", "plain"] = "auto"
    """``auto``: plain in bf16 on a processor, where it is faster, else fused."""
    compile: bool = False
    """Compile the transformer blocks (torch.compile); pays in long runs alone."""
    checkpoint_activations: bool = False
    """Compute activations again when gradients need them: about a third slower, a fraction of the memory."""
    select_on: Literal["balanced_accuracy", "accuracy", "macro_f1", "loss"] = "balanced_accuracy"
    """Validation figure that chooses the checkpoint (the mean over the tasks)."""
    abstain_accuracy: Annotated[float, Field(gt=0, le=1)] | None = None
    """Scores between which the model does not answer, chosen at the end so that this share of the other answers is
    right on the validation split (class and binary tasks). Empty: it always answers."""
    validate_every: Count = 1
    """Epochs between two looks at the validation split."""
    patience: Count | None = None
    """Stop after this many looks in a row without a better figure; empty: go through all epochs."""
    checkpoint_every: Count = 500
    """Steps between two checkpoints; one is written after every epoch too."""
    tensorboard: bool = False
    """Write TensorBoard curves beside the log (needs the extra ``tensorboard``)."""

    @field_validator("self_blend", mode="before")
    @classmethod
    def _label(cls, value: Any) -> Any:
        return {"label": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _check_group(self) -> "Train":
        weighs = self.reweight_group or self.group_dro is not None or self.sampling == "group_balanced"
        reads = weighs or self.threshold_per_group
        if reads != (self.group is not None):
            raise ValueError(
                "sampling group_balanced, reweight_group, group_dro and threshold_per_group need train.group"
                if reads
                else "group has no effect without sampling group_balanced, reweight_group, group_dro or "
                "threshold_per_group"
            )
        if self.threshold_per_group and self.abstain_accuracy is not None:
            raise ValueError("an abstain band lies around one threshold; set threshold_per_group or abstain_accuracy")
        if self.reweight_group and self.group_dro is not None:
            raise ValueError("reweight_group and group_dro both weigh the groups; set one")
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
