"""The sections ``primary``, ``auxiliary`` and ``auxiliaries`` of a recipe: the options of the objectives.

An auxiliary is an objective that is trained together with the primary objective. The masked autoencoder has its own
section, ``auxiliary``; all others are entries of ``auxiliaries``. This package contains the options of the built-in
auxiliaries, but not their code. The options of an auxiliary with any other name are kept as they are written;
:func:`auxface.objectives.registry.check_auxiliaries` validates them before a training run reads its data.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)

from auxface.recipe.validation import Count, Depth, Fraction, Heads, Positive, Strict, Width, sentence

RECONSTRUCTION = "reconstruction"
"""Name of the masked autoencoder among the objectives."""

Input = Literal["rgb", "texture"]
Scale = Annotated[float, Field(gt=0, le=1000)]
_METRIC_KEYS = ("loss", "margin", "scale", "attribute_scale", "embedding_width")


class TextureInput(Strict):
    """The descriptor whose map replaces the image if an ``input`` is ``texture``; the short form is its name."""

    name: str = "local_directional_pattern"
    """Name of a texture descriptor that has a value for every pixel."""
    parameters: dict[str, Any] = Field(default_factory=dict)
    """Parameters of the descriptor, such as ``k`` or ``radius``."""


class Primary(Strict):
    """Options of the primary objective: classification or metric learning; the short form is ``primary: NAME``."""

    kind: Literal["classification", "metric_learning"] = "classification"
    """``classification``: a head for each label. ``metric_learning``: one unit-norm embedding for all labels; each
    class or attribute is represented by a proxy, a learned vector with which embeddings are compared by cosine
    similarity. Labels of kind identity require ``metric_learning``."""
    input: Input = "rgb"
    """Input of the encoder for the primary objective: the image, or its texture map (see ``texture_input``)."""
    view: Literal["augmented", "clean"] = "augmented"
    """``augmented``: the view that ``train.augment`` produces. ``clean``: the same crop and mirroring without
    photometric changes or erasing; with ``train.augment`` none, this is the image itself. Auxiliaries keep their own
    views."""
    freeze: bool = False
    """Do not train the encoder on the labels. Heads or proxies are trained on the features of the encoder; only the
    auxiliaries, if any, train the encoder."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Classification: fraction of the target probability that is distributed uniformly over the classes (class and
    binary tasks; multilabel tasks are excluded, because most attributes are rare)."""
    loss: Literal["cosface", "arcface", "proxy_anchor", "normalized_softmax"] = "cosface"
    """Metric learning: loss for identity and class labels: CosFace (Wang et al., 2018), ArcFace (Deng et al., 2019),
    ProxyAnchor (Kim et al., 2020) or the normalized softmax (Zhai and Wu, 2019). Binary labels and attributes use the
    binary cross-entropy of a scaled cosine plus a bias."""
    margin: Annotated[float, Field(ge=0, le=1.5)] | None = None
    """Metric learning: margin of the loss, from 0 to 1; for ArcFace in radians, from 0 to 1.5. Empty: CosFace 0.35,
    ArcFace 0.5, ProxyAnchor 0.1. The normalized softmax has no margin."""
    scale: Scale | None = None
    """Metric learning: scale factor of the cosines. Empty: CosFace and ArcFace 64, ProxyAnchor 32, normalized softmax
    20."""
    attribute_scale: Scale = 16.0
    """Metric learning: scale factor of the cosines of binary labels and attributes."""
    embedding_width: Width = 128
    """Metric learning: dimension of the embedding."""

    @model_validator(mode="before")
    @classmethod
    def _name(cls, value: Any) -> Any:
        return {"kind": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _check(self) -> "Primary":
        for name in self.model_fields_set:
            if name not in self._used() and getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{self.kind} does not use {name}; remove it")
        if self.kind == "metric_learning" and self.loss == "normalized_softmax" and self.margin is not None:
            raise ValueError("loss normalized_softmax has no margin; remove margin")
        if self.loss != "arcface" and self.margin is not None and self.margin > 1:
            raise ValueError(f"margin {self.margin:g} is larger than 1, the limit for loss {self.loss}; lower margin")
        return self

    def _used(self) -> tuple[str, ...]:
        shared = ("kind", "input", "view", "freeze")
        return (*shared, *(_METRIC_KEYS if self.kind == "metric_learning" else ("label_smoothing",)))

    @model_serializer(mode="wrap")
    def _without_unused(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # A stored recipe must remain valid when the default of an unused option changes.
        return {name: value for name, value in serialize(self).items() if name in self._used()}


class AuxiliaryOptions(Strict):
    """Options that every auxiliary has."""

    weight: Annotated[float, Field(ge=0)] = 1.0
    """Weight relative to the other auxiliaries; 0 disables the auxiliary."""
    warmup: Fraction = 0.0
    """Fraction of the steps over which the weight increases linearly from 0."""


class Target(Strict):
    """One target that the decoder reconstructs."""

    name: str = "rgb"
    """``rgb`` or the name of a texture descriptor."""
    encoding: Literal["scalar", "bits", "histogram"] = "scalar"
    """Encoding of each code as a target of the decoder; ``rgb`` has only ``scalar``."""
    weight: Positive = 1.0
    """Weight relative to the other targets."""
    parameters: dict[str, Any] = Field(default_factory=dict)
    """Parameters of the descriptor, such as ``k`` or ``radius``."""
    smooth: Annotated[float, Field(ge=0, le=16)] = 0.0
    """Standard deviation in pixels of a Gaussian filter that is applied before the descriptor is computed; 0: no
    filter."""
    scale: Annotated[int, Field(ge=1, le=16)] = 1
    """Factor by which the image is downsampled before the descriptor is computed; must divide the patch size. Several
    targets with the same descriptor but different ``scale`` or ``smooth`` form a multi-scale target."""

    @property
    def key(self) -> str:
        """Name of the target in logs and in the decoder, including scale and smoothing if they are set."""
        scale = f"_scale{self.scale}" if self.scale > 1 else ""
        smooth = f"_smooth{self.smooth:g}".replace(".", "_") if self.smooth else ""
        return f"{self.name}{scale}{smooth}"


class ReconstructionOptions(AuxiliaryOptions):
    """Options of ``auxiliary``, the masked autoencoder that uses the shared encoder."""

    input: Input = "rgb"
    """What is masked and encoded: the image, or its texture map (see ``texture_input``)."""
    target: tuple[Target, ...] = (Target(),)
    """What is reconstructed in the masked patches: a name, a mapping, or a list of them."""
    mask_ratio: Annotated[float, Field(gt=0, lt=1)] = 0.75
    """Fraction of the patches that are masked; exactly round(mask_ratio * patches) patches are masked."""
    masking: Literal["random", "block", "tube", "textured", "flat", "parts"] = "random"
    """Which patches are masked. ``random``: random patches. ``block``: rectangles. ``tube``: the same patches in every
    frame of a clip. ``textured``: mostly patches with strong texture. ``flat``: mostly patches with weak texture.
    ``parts``: whole parts of an aligned face (eyes, nose, mouth, and the rest) in random order."""
    predict: Literal["masked", "all"] = "masked"
    """Patches on which the decoder's last layer runs: only the masked patches, or all patches as published. In both
    cases, only masked patches contribute to the loss."""
    decoder_width: Width | None = None
    """Width of the decoder's tokens. If this key and the next two are empty, the decoder has the published size for the
    encoder. For a Vision Transformer with a width of at least 768 (B, L, H), the published size is a width of 512, 8
    blocks and 16 heads (SSAT); for other image encoders, a width of 128, 2 blocks and 16 heads (SSAT). For a video
    encoder, the decoder has half the encoder's width, half its number of heads, and 4 blocks (VideoMAE)."""
    decoder_depth: Depth | None = None
    """Number of decoder blocks."""
    decoder_heads: Heads | None = None
    """Number of attention heads per decoder block; must divide decoder_width."""
    normalize_target: bool = False
    """Normalize each patch of a real-valued target by its own mean and variance."""
    shuffle: bool = False
    """Reconstruct the target of another image in the batch. In this control, no texture can be learned, which separates
    the effect of texture from the effect of regularization."""

    @field_validator("target", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        items = value if isinstance(value, (list, tuple)) else [value]
        return [{"name": item} if isinstance(item, str) else item for item in items]

    @model_validator(mode="after")
    def _check(self) -> "ReconstructionOptions":
        if not self.target:
            raise ValueError("target is empty; expected at least one target")
        for target in self.target:
            if [t.key for t in self.target].count(target.key) > 1:
                raise ValueError(f"target {target.name} is listed twice with the same scale and smooth")
            if target.name == "rgb" and target.encoding != "scalar":
                raise ValueError(f"target rgb does not support the encoding '{target.encoding}'; use scalar")
        if self.decoder_width and self.decoder_heads and self.decoder_width % self.decoder_heads:
            raise ValueError(f"decoder_heads {self.decoder_heads} must divide decoder_width {self.decoder_width}")
        return self


class ClusterContrastOptions(AuxiliaryOptions):
    """Options of ``auxiliaries.cluster_contrast``, the cluster-based contrastive loss."""

    clusters: Literal["labels", "kmeans"] = "labels"
    """``labels``: images with equal labels form a cluster; labels that are tasks of the recipe are not used.
    ``kmeans``: clusters are found by k-means in the encoder's features."""
    labels: tuple[str, ...] = ()
    """Names of labels, attributes or group columns that define the clusters; empty: all labels that are not tasks."""
    top_k: Count = 3
    """Number of labels that define the clusters; the labels with the highest entropy are used."""
    n_clusters: Annotated[int, Field(ge=2, le=100_000)] = 64
    """Number of k-means clusters."""
    every: Count = 5
    """Interval between runs of k-means, in epochs; before the first run, each image is its own cluster."""
    loss: Literal["two_view", "cross_view"] = "two_view"
    """``two_view``: compare each view with all other views. ``cross_view``: compare each image in one view only with
    the images in the other view."""
    temperature: Positive = 0.1
    """Divisor of the cosine similarities."""
    projector_width: Width = 128
    """Dimension of the embedding that is compared."""


class NTXentOptions(AuxiliaryOptions):
    """Options of ``auxiliaries.nt_xent``, the contrastive loss between two crops of each image (SimCLR)."""

    view: Literal["contrast_crop", "spectrogram_crop"] = "contrast_crop"
    """Type of the crops. ``contrast_crop``: for photographs. ``spectrogram_crop``: for log-mel images (time crop, masks
    in frequency and time, no flip)."""
    temperature: Positive = 0.1
    """Divisor of the cosine similarities."""
    projector_width: Width = 128
    """Dimension of the embedding that is compared."""


class LAFSOptions(AuxiliaryOptions):
    """Options of ``auxiliaries.lafs``, self-distillation on landmarks (LAFS)."""

    points: str | None = None
    """CSV file with the landmarks of the training images, as fractions of the image's central square. The columns are
    path, followed by the coordinates x1, y1 to x5, y5 (eyes, nose, mouth corners) or by the coordinates of one point
    for each patch of the encoder. Empty: a template for aligned faces."""
    perturbation: Annotated[float, Field(ge=0, le=0.5)] = 0.045
    """Standard deviation of the noise on landmarks, as a fraction of the side of the view (LAFS: 5 of 112 pixels)."""
    crop_area: Annotated[float, Field(gt=0, le=1)] = 0.7
    """Minimum fraction of the image that a view covers. LAFS uses 0.4 and predicts landmarks inside each crop; here, a
    patch outside the crop repeats the pixels at the edge of the crop."""
    local_views: Annotated[int, Field(ge=0, le=16)] = 4
    """Number of local views (LAFS: 8)."""
    local_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.184
    """Fraction of the landmarks that a local view contains, drawn without replacement: 36 of 196 by default."""
    positions: Literal["order", "place"] = "order"
    """Grid positions of a local view's landmarks. ``order``: the positions of the first patches, in the order in which
    the landmarks are drawn (LAFS). ``place``: the landmarks' own positions."""
    prototypes: Annotated[int, Field(ge=2, le=200_000)] = 4096
    """Number of prototypes (LAFS: 100,000)."""
    head_width: Width = 2048
    """Width of the head's two inner layers."""
    bottleneck_width: Width = 256
    """Dimension of the vectors that are compared with the prototypes."""
    student_temperature: Positive = 0.1
    """Temperature of the student: divisor of its outputs."""
    teacher_temperature: tuple[Positive, Positive] = (0.07, 0.04)
    """First and last temperature of the teacher: divisor of its outputs."""
    temperature_fraction: Fraction = 0.73
    """Fraction of the steps after which the last teacher temperature is reached (LAFS: 30 of 41 epochs)."""
    momentum: Fraction = 0.996
    """Initial momentum of the teacher's moving average; the momentum increases to 1 on a cosine schedule."""
    center_momentum: Fraction = 0.9
    """Momentum of the center's moving average."""
    frozen_last_layer: Fraction = 0.025
    """Fraction of the steps, from the start, in which the prototypes are not trained (LAFS: the first of 41 epochs)."""


class UncheckedOptions(AuxiliaryOptions):
    """Options of an auxiliary from another package; keys other than ``weight`` and ``warmup`` are not validated."""

    model_config = ConfigDict(extra="allow")


BUILT_IN: dict[str, type[AuxiliaryOptions]] = {
    "cluster_contrast": ClusterContrastOptions,
    "lafs": LAFSOptions,
    "nt_xent": NTXentOptions,
}


def read_auxiliary(name: str, raw: Any, section: type[AuxiliaryOptions] | None = None) -> AuxiliaryOptions:
    """Validate the options of one entry of ``auxiliaries``.

    Args:
        name: name of the auxiliary.
        raw: options object, mapping of options, or None for the defaults.
        section: class of the options; None selects the class of the built-in auxiliary with this name, or
            :class:`UncheckedOptions` for any other name.

    Raises:
        ValueError: a key is unknown or a value is invalid; the message is one sentence.
    """
    if isinstance(raw, AuxiliaryOptions):
        return raw
    if not isinstance(raw, Mapping | None):
        raise ValueError(f"auxiliaries.{name}: expected a mapping of options, not {raw!r}")
    section = section or BUILT_IN.get(name, UncheckedOptions)
    try:
        return section.model_validate(raw or {})
    except ValidationError as error:
        raise ValueError(sentence(error, section, f"auxiliaries.{name}")) from None
