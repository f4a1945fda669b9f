"""The complete recipe: its sections, and the constraints between sections.

Each section is a class that documents the meaning, bounds and default of each field. If a published system states a
value, this value is the default (SSAT: Das et al., 2023, arXiv 2310.20704); all other defaults are our own, and
``docs/method.md`` lists them.

Example:
    >>> from auxface.recipe import load_recipe
    >>> load_recipe("l_ssat", ["train.epochs=3"]).train.epochs
    3
"""

from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    SerializeAsAny,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from auxface.recipe.objectives import (
    RECONSTRUCTION,
    AuxiliaryOptions,
    Primary,
    ReconstructionOptions,
    TextureInput,
    read_auxiliary,
)
from auxface.recipe.sections import Clips, Encoder, Train
from auxface.recipe.validation import Fraction, Positive, Strict


class TaskOptions(Strict):
    """Options for learning one label of the manifest."""

    classes: tuple[str, ...] = ()
    """Class names in order; they must equal the class names of the manifest. Empty: the class names of the
    manifest."""
    weight: Positive = 1.0
    """Weight relative to the other tasks; the primary loss is the weighted mean of the tasks' losses."""
    class_weights: Literal["balanced"] | dict[str, Positive] = Field(default_factory=dict)
    """Weight of each class in the loss; for a multilabel task, weight of the positive samples of each attribute.
    ``balanced``: all classes of the training split have the same total weight. A class without an entry has weight
    1."""
    focal_gamma: Annotated[float, Field(ge=0)] = 0.0
    """Exponent of the focal loss (Lin et al., 2017), which reduces the weight of easy samples; 0: off."""
    bins: Annotated[int, Field(ge=2, le=256)] | None = None
    """Number of values of an ordinal label; empty: one value per integer if all labels of the training split are
    integers, otherwise 20."""


PRETRAIN_FRACTION = 0.5


class Balance(Strict):
    """Options for weighting the losses of the objectives; the short form is ``balance: NAME``."""

    kind: Literal["fixed", "schedule", "learned", "gradient"] = "fixed"
    """``fixed``: the published sum, ``primary_weight`` * primary + (1 - ``primary_weight``) * auxiliaries.
    ``schedule``: the same sum, with a primary weight that changes from ``start`` to ``end``. ``learned``: each
    objective is weighted by its uncertainty (Kendall et al., 2018). ``gradient``: the weight of each auxiliary is set
    so that the norm of its gradient is ``ratio`` times the norm of the primary objective's gradient, on the last block
    that both forward passes share."""
    start: Fraction | None = None
    """``schedule``: primary weight at the first step."""
    end: Fraction | None = None
    """``schedule``: primary weight that is approached at the last step."""
    shape: Literal["linear", "cosine"] = "linear"
    """``schedule``: shape of the curve from ``start`` to ``end``."""
    ratio: Positive = 1.0
    """``gradient``: ratio of the norm of each auxiliary's weighted gradient to the norm of the primary objective's
    gradient. The ratio of an auxiliary is multiplied by its own ``weight`` and ``warmup``."""

    @model_validator(mode="after")
    def _check(self) -> "Balance":
        for name in self.model_fields_set:
            if name not in self._used() and getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"balance {self.kind} does not use {name}; remove it")
        if self.kind == "schedule" and (self.start is None or self.end is None):
            raise ValueError("balance schedule needs start and end, the primary weights of the first and last step")
        return self

    def _used(self) -> tuple[str, ...]:
        return ("kind", *{"schedule": ("start", "end", "shape"), "gradient": ("ratio",)}.get(self.kind, ()))

    @model_serializer(mode="wrap")
    def _without_unused(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # A stored recipe must remain valid when the default of an unused option changes.
        return {name: value for name, value in serialize(self).items() if name in self._used()}


class Scheme(Strict):
    """Options for the order in which the objectives are trained; the short form is ``scheme: NAME``."""

    kind: Literal["joint", "sequential", "alternating", "frozen"] = "joint"
    """``joint``: all objectives at every step. ``sequential``: first the auxiliaries, then the primary objective.
    ``alternating``: steps on the auxiliaries and steps on the primary objective alternate. ``frozen``: like
    ``sequential``, but the encoder is frozen while the primary objective is trained (a probe)."""
    pretrain_fraction: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Fraction of the steps in which only the auxiliaries are trained; empty: 0.5 (``sequential`` and ``frozen``
    only)."""

    @property
    def pretraining(self) -> float:
        """Fraction of the steps in which only the auxiliaries are trained."""
        if self.kind not in ("sequential", "frozen"):
            return 0.0
        return PRETRAIN_FRACTION if self.pretrain_fraction is None else self.pretrain_fraction

    @model_validator(mode="after")
    def _check(self) -> "Scheme":
        if self.pretrain_fraction is not None and self.kind not in ("sequential", "frozen"):
            raise ValueError(f"scheme {self.kind} has no pre-training; remove pretrain_fraction")
        return self


class Recipe(Strict):
    """The settings of a training run; together with the manifest, they determine the result of the run."""

    name: str = "recipe"
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    tasks: dict[str, TaskOptions] = Field(default_factory=dict)
    """Labels on which to train, as a list of names or a mapping of names to options; empty: all labels with classes."""
    balance: Balance = Balance()
    """How the losses are weighted; a number is short for ``fixed`` with this ``primary_weight``."""
    primary_weight: Fraction = 0.1
    """Balance ``fixed``: loss = primary_weight * primary + (1 - primary_weight) * auxiliaries. 0: only the auxiliaries
    are trained, without any task."""
    primary: Primary = Primary()
    auxiliary: ReconstructionOptions | None = None
    """Options of the masked autoencoder."""
    auxiliaries: dict[str, SerializeAsAny[AuxiliaryOptions]] = Field(default_factory=dict)
    """Other auxiliaries by name, each with its own options."""
    texture_input: TextureInput | None = None
    """Texture map that replaces the image if an ``input`` is ``texture``; empty: the Local Directional Pattern."""
    fusion: Literal["none", "concat", "gated", "cross_attention"] = "none"
    """How the decoder's features of the whole face are combined with the encoder's features before the classifier (our
    interpretation of Fusion-SSAT)."""
    scheme: Scheme = Scheme()
    encoder: Encoder = Encoder()
    clips: Clips | None = None
    """Options of the clips that are sampled from each video (video encoders only); empty: at most five clips, with a
    stride of four frames."""
    train: Train = Train()

    @property
    def all_auxiliaries(self) -> dict[str, AuxiliaryOptions]:
        """Options of every auxiliary by name, the masked autoencoder first."""
        first = {} if self.auxiliary is None else {RECONSTRUCTION: self.auxiliary}
        return first | self.auxiliaries

    @property
    def trains_tasks(self) -> bool:
        """Whether any step trains the primary objective; false for pre-training, where ``primary_weight`` is 0."""
        return self.scheme.kind != "joint" or self.balance.kind != "fixed" or self.primary_weight > 0

    @property
    def trains_auxiliaries(self) -> bool:
        """Whether any auxiliary has a weight above 0."""
        return any(options.weight > 0 for options in self.all_auxiliaries.values())

    @property
    def selection_metric(self) -> str:
        """Validation metric that selects the weights: ``train.select_on``, or ``skill`` if no task is trained."""
        return self.train.select_on if self.trains_tasks else "skill"

    @property
    def texture_map(self) -> TextureInput:
        """The texture map that replaces the image if an ``input`` is ``texture``."""
        return self.texture_input or TextureInput()

    @property
    def sampled_clips(self) -> Clips:
        """The clips that are sampled from each video."""
        return self.clips or Clips()

    @model_validator(mode="before")
    @classmethod
    def _bare_number(cls, value: Any) -> Any:
        balance = value.get("balance") if isinstance(value, dict) else None
        if isinstance(balance, (int, float)) and not isinstance(balance, bool):
            return value | {"balance": {}, "primary_weight": balance}
        return value

    @field_validator("balance", mode="before")
    @classmethod
    def _balance(cls, value: Any) -> Any:
        return {"kind": value} if isinstance(value, str) else value

    @field_validator("tasks", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        if isinstance(value, str):
            value = [value]
        if not isinstance(value, (list, tuple)):
            return value
        if not all(isinstance(name, str) for name in value):
            raise ValueError("expected a list of label names, such as [emotion, age], or a mapping of names to options")
        return {name: {} for name in value}

    @field_validator("auxiliaries", mode="before")
    @classmethod
    def _options(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        if RECONSTRUCTION in value:
            raise ValueError("the masked autoencoder has its own section, 'auxiliary'")
        return {name: read_auxiliary(str(name), raw) for name, raw in value.items()}

    @field_validator("scheme", mode="before")
    @classmethod
    def _scheme(cls, value: Any) -> Any:
        return {"kind": value} if isinstance(value, str) else value

    @field_validator("texture_input", mode="before")
    @classmethod
    def _texture(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _check(self) -> "Recipe":
        auxiliary = self.auxiliary
        if not self.all_auxiliaries and self.balance.kind != "fixed":
            raise ValueError(
                f"balance {self.balance.kind} weights auxiliaries, but the recipe has none; set balance to 1"
            )
        if not self.all_auxiliaries and self.primary_weight != 1:
            raise ValueError("a recipe without an auxiliary needs primary_weight: 1")
        if not self.trains_tasks and self.tasks:
            raise ValueError("primary_weight 0 trains no task; remove tasks, or set a larger primary_weight")
        if not self.trains_tasks and not self.trains_auxiliaries:
            raise ValueError(
                "primary_weight 0 trains only the auxiliaries, but all of them have weight 0; set a weight"
            )
        if self.scheme.kind != "joint":
            if self.primary_weight != 1 or self.balance.kind != "fixed":
                raise ValueError(
                    f"scheme {self.scheme.kind} trains one objective at a time, without weights; set balance to 1 (or "
                    "primary_weight to 1 and balance to fixed)"
                )
            if not self.trains_auxiliaries and (self.scheme.kind != "frozen" or self.scheme.pretraining):
                found = "all auxiliaries have weight 0" if self.all_auxiliaries else "the recipe has none"
                raise ValueError(f"scheme {self.scheme.kind} trains an auxiliary, but {found}")
        if self.balance.kind != "fixed" and self.primary_weight != type(self).model_fields["primary_weight"].default:
            raise ValueError(
                f"balance {self.balance.kind} does not use primary_weight {self.primary_weight:g}; set balance to "
                f"{self.primary_weight:g} for the published sum"
            )
        if self.primary.freeze and not self.trains_tasks:
            raise ValueError(
                "primary.freeze applies to the primary objective, which is not trained with primary_weight 0; remove "
                "primary.freeze"
            )
        mixes = self.train.mixup or self.train.cutmix
        if mixes and (self.primary.kind == "metric_learning" or self.primary.view == "clean"):
            what = "primary.kind metric_learning" if self.primary.kind == "metric_learning" else "primary.view clean"
            raise ValueError(f"{what} requires unmixed images; remove train.mixup and train.cutmix")
        if self.fusion != "none" and auxiliary is None:
            raise ValueError(f"fusion {self.fusion} needs the decoder of 'auxiliary', but the recipe has none")
        inputs = (self.primary.input, auxiliary.input if auxiliary is not None else "rgb")
        if self.texture_input is not None and "texture" not in inputs:
            raise ValueError("texture_input is set, but neither primary.input nor auxiliary.input is texture")
        blended = self.train.self_blend
        if blended is not None and self.tasks and blended.label not in self.tasks:
            raise ValueError(f"train.self_blend sets the label '{blended.label}', which is not among the tasks")
        return self

    @model_validator(mode="after")
    def _check_clips(self) -> "Recipe":
        if self.encoder.num_frames is None:
            if self.clips is not None:
                raise ValueError(
                    f"clips applies to video encoders, but {self.encoder.name} encodes images; remove clips"
                )
            return self
        if self.primary.input == "texture":
            raise ValueError("primary.input texture requires images; for video clips, use rgb")
        if self.train.self_blend is not None:
            raise ValueError("train.self_blend works only on images; remove it for video clips")
        return self
