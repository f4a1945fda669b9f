"""The sections ``encoder``, ``clips`` and ``train`` of a recipe.

``train`` contains the options of optimization, augmentation, sampling, precision and selection.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from auxface.recipe.validation import Count, Depth, Fraction, Heads, Positive, Strict, Width

CLIPS = "videomae_"
PACKAGED, PACKAGED_ENCODER = "packaged", "efficientnet_lite0"


class Encoder(Strict):
    """Options of the shared encoder."""

    name: str = "vit_tiny_patch16_224"
    """Name of a timm model, of an encoder from another package, or of a video encoder: ``videomae_tiny``, ``_small``,
    ``_base``, ``_large`` or ``_huge``."""
    pretrained: bool = False
    """Start from timm's pretrained weights for this model, which requires network access or a local cache."""
    init_from: str | None = None
    """Start from local weights: an auxface model directory, a folder of transformers' ViTMAE or VideoMAE, or a
    safetensors file. Weights of an image encoder are inflated for a video encoder. ``packaged``: ImageNet weights of
    ``efficientnet_lite0`` from the optional extra ``weights``; this also sets the defaults of ``name``, ``mean`` and
    ``std``."""
    image_size: Annotated[int, Field(ge=16, le=1024)] = 112
    """Side length of the square image in pixels."""
    evaluation_crop: Annotated[float, Field(ge=0.5, le=1)] = 1.0
    """Side length of the central crop in validation, evaluation and prediction, as a fraction of the shorter side of
    the image; 1: the largest square. SSAT, which is trained on random crops, is evaluated with 0.875. This option does
    not affect training images."""
    patch_size: Annotated[int, Field(ge=2, le=64)] | None = None
    """Side length of a patch in pixels; must divide image_size. Empty: 8 if ``name`` is not set; otherwise the patch
    size of the named model. The patch size of a hierarchical model is its total stride and cannot be set."""
    num_frames: Annotated[int, Field(ge=2, le=128)] | None = None
    """Number of frames per clip (video encoders only); empty: 16 for ``videomae_*``."""
    tubelet_size: Annotated[int, Field(ge=1, le=16)] | None = None
    """Number of frames per token of a video encoder; must divide num_frames. Empty: 2."""
    width: Width | None = None
    """Embedding dimension (Vision Transformers only); empty: as in the named model."""
    depth: Depth | None = None
    """Number of blocks (Vision Transformers only); empty: as in the named model."""
    heads: Heads | None = None
    """Number of attention heads per block (Vision Transformers only); empty: as in the named model."""
    drop_path: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Stochastic depth rate of the last block; the rate increases linearly from 0 at the first block."""
    output_stride: Literal[8, 16, 32] | None = None
    """Total stride of a convolutional model, which is also its patch size; layers that would exceed this stride are
    dilated instead of strided (Yu and Koltun, 2016). Empty: the stride of the named model, usually 32."""
    positions: Literal["sincos", "learned"] | None = None
    """Fixed 2-D sine-cosine or learned position embeddings, for models that add position embeddings to their tokens.
    Empty: ``learned`` for a pretrained model, otherwise ``sincos``."""
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    """Channel means with which images in [0, 1] are standardized."""
    std: tuple[Positive, Positive, Positive] = (0.229, 0.224, 0.225)
    """Channel standard deviations with which images in [0, 1] are standardized."""

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
        if data.get("init_from") == PACKAGED:
            half = (0.5, 0.5, 0.5)
            return {"name": PACKAGED_ENCODER, "mean": half, "std": half, **data}
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
            raise ValueError("tubelet_size applies to video encoders; also set num_frames, or remove tubelet_size")
        if self.num_frames is not None and self.num_frames % (self.tubelet_size or 1):
            raise ValueError(f"tubelet_size {self.tubelet_size} must divide num_frames {self.num_frames}")
        if self.pretrained and self.init_from is not None:
            raise ValueError("pretrained and init_from are mutually exclusive; set only one of them")
        if self.pretrained and self.positions == "sincos":
            raise ValueError("pretrained weights include position embeddings; remove positions: sincos")
        return self


class Clips(Strict):
    """Options of the clips, which are evenly spaced in each video in training, validation and prediction."""

    stride: Annotated[int, Field(ge=1, le=1000)] = 4
    """Distance in video frames between consecutive frames of a clip (Tong et al., 2022: 4). A manifest of clips that
    were cut by ``prepare`` records its own stride."""
    per_video: Annotated[int, Field(ge=1, le=1000)] = 5
    """Maximum number of clips per video; clips of a short video may overlap, but are never equal."""


BatchSize = Annotated[Annotated[int, Field(ge=1)] | Literal["auto"], Field(union_mode="left_to_right")]


class SelfBlend(Strict):
    """Options of self-blended images (Shiohara and Yamasaki, 2022); the short form is ``self_blend: LABEL``."""

    label: str = "forged"
    """Binary label that marks forgeries. If the manifest lacks the label, all faces are assumed to be real."""
    fraction: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Fraction of the images that are self-blended."""


class Train(Strict):
    """Options of training: optimization, augmentation, sampling, precision and selection."""

    epochs: Count = 100
    batch_size: BatchSize = 64
    """Number of images per step over all processes; ``auto``: the largest number up to 256 that fits into memory."""
    accumulate: Count = 1
    """Number of micro-batches per step; more micro-batches save memory. Without batch normalization, the gradient is
    the same as without micro-batches. Batch normalization uses the statistics of each micro-batch, so the gradient
    differs."""
    base_learning_rate: Positive = 1e-3
    """Peak learning rate per 256 images: the peak is base_learning_rate * batch_size / 256."""
    min_learning_rate: Annotated[float, Field(ge=0)] = 1e-6
    warmup_fraction: Fraction = 0.05
    """Fraction of the steps (of each phase of the schemes ``sequential`` and ``frozen``) over which the learning rate
    increases linearly from 0."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.05
    """Weight decay of matrices and convolution kernels; it is not applied to vectors or to the parameters in timm's
    ``no_weight_decay()``."""
    betas: tuple[Fraction, Fraction] = (0.9, 0.999)
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Ratio of the learning rate of each encoder layer to the rate of the layer above it (Bao et al., 2022); 1: equal
    rates."""
    clip_norm: Positive | None = None
    """Maximum norm of the gradient; larger gradients are clipped. Empty: no clipping."""
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Decay of an exponential moving average of the weights; the averaged weights are validated and saved. Empty: no
    averaging."""
    augment: Literal["none", "light", "crop", "ssat", "forensic", "forensic_sharp", "spectrogram"] = "light"
    mirror: bool = True
    """Flip views horizontally with probability 1/2. Use ``false`` if a label refers to a side, such as a raised left
    eyebrow. With augmentation ``none``, views are never flipped."""
    self_blend: SelfBlend | None = None
    """Learn a forgery label from real faces only; known forgeries are excluded from training and validation."""
    mixup: Annotated[float, Field(ge=0)] = 0.0
    """Alpha of mixup (Zhang et al., 2018) for the classifier's view; 0: off."""
    cutmix: Annotated[float, Field(ge=0)] = 0.0
    """Alpha of CutMix (Yun et al., 2019) for the classifier's view; 0: off. If both ``mixup`` and ``cutmix`` are on,
    one of the two is drawn at random for each step."""
    group: str | None = None
    """Group column for ``sampling``, ``reweight_group``, ``group_dro`` and ``threshold_per_group``. Training reads no
    other group column."""
    sampling: Literal["uniform", "group_balanced", "class_balanced"] = "uniform"
    """``uniform``: every image is drawn once per epoch. Otherwise, images are drawn with replacement so that all groups
    (or classes) are drawn equally often."""
    labeled_per_batch: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Fraction of labeled images in each step; an image is labeled if the label of at least one task is known. Every
    image is drawn at least once per epoch; if labeled or unlabeled images are too rare for this fraction, they are
    drawn several times. Empty: the fraction varies between steps and on average equals the fraction in the training
    split."""
    reweight_group: bool = False
    """Give each group the same total weight in the primary objective, regardless of its size."""
    group_dro: Positive | None = None
    """Step size of group DRO (Sagawa et al., 2020): groups with larger losses get larger weights in the primary
    objective. The published value is 0.01. Group DRO requires a large weight_decay or few epochs. Empty: off."""
    threshold_per_group: bool = False
    """Choose a separate threshold for each level of the group column on the validation split (binary and multilabel
    tasks). These thresholds are used where the group is known, as in ``auxface evaluate``; ``predict`` uses a single
    threshold."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """``auto``: fp32 or bf16, whichever is faster in a short trial at the start of training. ``fp16`` is for GPUs only.
    In the recipe that a run stores, the choices of the trial replace ``auto``."""
    attention: Literal["auto", "fused", "plain"] = "auto"
    """Attention kernel. ``auto``: the kernel that is faster in the trial."""
    channels_last: Annotated[bool | Literal["auto"], Field(union_mode="left_to_right")] = "auto"
    """Store images and convolution weights in channels-last format. ``auto``: only if it is faster in the trial."""
    threads: Annotated[Count | Literal["auto"], Field(union_mode="left_to_right")] = "auto"
    """Number of torch threads on a CPU, at most one per core. ``auto``: ``OMP_NUM_THREADS`` if it is set; otherwise one
    thread or one thread per core, whichever is faster in the trial under the current load of the machine."""
    compile: bool = False
    """Compile the transformer blocks with torch.compile; worthwhile only in long runs."""
    checkpoint_activations: bool = False
    """Recompute activations in the backward pass; a step takes about a third longer and uses a fraction of the
    memory."""
    select_on: Literal["balanced_accuracy", "accuracy", "macro_f1", "loss", "verification_auc", "recall_at_1"] = (
        "balanced_accuracy"
    )
    """Validation metric that selects the weights; it is averaged over the tasks. The people of an identity label differ
    between the splits, so identity labels support only ``verification_auc`` (the default for them, on all pairs of
    validation images) and ``recall_at_1``; the balanced accuracy of the other labels is then included in the average.
    If no task is trained (``primary_weight`` 0), the mean skill of the auxiliary's targets selects the weights."""
    abstain_accuracy: Literal["auto"] | Annotated[float, Field(gt=0, le=1)] | None = "auto"
    """Accuracy that the model's predictions must reach on the validation split (class and binary tasks). The scores at
    which the model abstains are chosen after training. ``auto``: the highest of 0.95, 0.9 and 0.8 at which at least
    half of the validation samples get a prediction; with fewer than 100 samples, or with ``threshold_per_group``, the
    model never abstains. Empty: the model never abstains."""
    validate_every: Count = 1
    """Interval between validations, in epochs."""
    max_seconds: Positive | None = None
    """Maximum time for training and validation in seconds. The speed is measured during training; if the remaining
    epochs would exceed the limit, their number is reduced and the learning-rate schedule is shortened. The current
    epoch is always finished. Empty: no limit."""
    patience: Count | None = None
    """Stop after this many consecutive validations without improvement; empty: train all epochs."""
    checkpoint_every: Count = 500
    """Interval between checkpoints, in steps; a checkpoint is also written after every epoch."""
    tensorboard: bool = False
    """Write TensorBoard curves in addition to the log; requires the extra ``tensorboard``."""

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
        if self.threshold_per_group and isinstance(self.abstain_accuracy, float):
            raise ValueError(
                "an abstain band needs a single threshold; set either threshold_per_group or abstain_accuracy, not both"
            )
        if self.reweight_group and self.group_dro is not None:
            raise ValueError("reweight_group and group_dro both weight the groups; set only one of them")
        return self

    @model_validator(mode="after")
    def _check_labeled(self) -> "Train":
        if self.labeled_per_batch is None:
            return self
        if self.sampling != "uniform":
            raise ValueError(
                f"labeled_per_batch and sampling {self.sampling} both determine how often an image is drawn; set only "
                "one of them"
            )
        if self.self_blend is not None:
            raise ValueError("self_blend labels every image, so labeled_per_batch has no effect; remove it")
        return self

    @property
    def images_per_step(self) -> int:
        """The batch size as an integer.

        Raises:
            ValueError: ``batch_size`` is still ``auto``.
        """
        if isinstance(self.batch_size, str):
            raise ValueError("train.batch_size is still auto")
        return self.batch_size
