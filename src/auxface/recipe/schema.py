"""A recipe as a whole; each section stands in a file of its own, with meaning, bounds and defaults of its fields.

Where the published systems state a value, it is the default (SSAT: Das et al., 2023, arXiv 2310.20704); the others are
ours and are named so in ``docs/method.md``.

The supervised side of a recipe: which labels are learned, and how.

How the losses are weighed against each other, and in which order the objectives are trained.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, SerializeAsAny, field_validator, model_validator

from auxface.recipe.auxiliary import RECONSTRUCTION, Auxiliary, AuxiliaryOptions, Input, TextureInput, read_options
from auxface.recipe.encoder import Clips, Encoder
from auxface.recipe.optimization import Train
from auxface.recipe.validation import Fraction, Positive, Strict


class TaskOptions(Strict):
    """How one label of the manifest is learned."""

    classes: tuple[str, ...] = ()
    """Class names, in order, that the manifest must have; empty: whatever it has."""
    weight: Positive = 1.0
    """Weight among the primary tasks."""
    class_weights: Literal["balanced"] | dict[str, Positive] = Field(default_factory=dict)
    """Weight of each class (of several attributes: of its presence) in the loss; ``balanced``: rare classes count as
    much as common ones in the training split; a class that is not named has 1."""
    focal_gamma: Annotated[float, Field(ge=0)] = 0.0
    """Exponent of the focal loss (Lin et al., 2017), which plays down what is easy; 0: off."""
    bins: Annotated[int, Field(ge=2, le=256)] | None = None
    """Steps of an ordinal label; empty: one per whole number where the training split has whole numbers, else 20."""


class Primary(Strict):
    """The supervised side."""

    input: Input = "rgb"
    """What the classifier sees: the image, or its texture map (see ``texture_input``)."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of the target spread evenly over the classes (single-label tasks)."""


PRETRAIN_FRACTION = 0.5


class WeightSchedule(Strict):
    """A primary weight that changes over the training."""

    start: Fraction
    """Weight of the first step."""
    end: Fraction
    """Weight that the last step comes to."""
    shape: Literal["linear", "cosine"] = "linear"


PrimaryWeight = Fraction | Literal["learned"] | WeightSchedule


class Scheme(Strict):
    """The order of the objectives; ``scheme: NAME`` will do."""

    kind: Literal["joint", "sequential", "alternating", "frozen"] = "joint"
    """``joint``: all at every step. ``sequential``: the auxiliaries, then the primary. ``alternating``: in turn, step
    by step. ``frozen``: as sequential, but the encoder learns nothing from the primary (a probe)."""
    pretrain_fraction: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Share of the steps spent on the auxiliaries alone; empty: a half (sequential and frozen only)."""

    @property
    def pretraining(self) -> float:
        """Share of the steps spent on the auxiliaries alone."""
        if self.kind not in ("sequential", "frozen"):
            return 0.0
        return PRETRAIN_FRACTION if self.pretrain_fraction is None else self.pretrain_fraction

    @model_validator(mode="after")
    def _check(self) -> "Scheme":
        if self.pretrain_fraction is not None and self.kind not in ("sequential", "frozen"):
            raise ValueError(f"scheme {self.kind} has no pre-training; remove pretrain_fraction")
        return self


class Recipe(Strict):
    """Everything that decides a training besides the manifest."""

    name: str = "recipe"
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    tasks: dict[str, TaskOptions] = Field(default_factory=dict)
    """Labels of the manifest to learn; a list of names will do; empty: all that are not identities."""
    primary_weight: PrimaryWeight = 0.1
    """loss = primary_weight * primary + (1 - primary_weight) * auxiliaries; a number, ``{start, end, shape}``, or
    ``learned`` (a weight per objective by its uncertainty, Kendall et al., 2018)."""
    primary: Primary = Primary()
    auxiliary: Auxiliary | None = None
    """The masked autoencoder."""
    auxiliaries: dict[str, SerializeAsAny[AuxiliaryOptions]] = Field(default_factory=dict)
    """Further auxiliaries by name, each with its own options."""
    texture_input: TextureInput | None = None
    """The map that an ``input: texture`` sees; empty: the Local Directional Pattern."""
    fusion: Literal["none", "concat", "gated", "cross_attention"] = "none"
    """How the decoder's features of the whole face join the encoder's before the classifier (our reading of
    Fusion-SSAT)."""
    scheme: Scheme = Scheme()
    encoder: Encoder = Encoder()
    clips: Clips | None = None
    """For encoders of clips: which clips of a video; empty: five, four frames from one to the next."""
    train: Train = Train()

    @property
    def objectives(self) -> dict[str, AuxiliaryOptions]:
        """Every auxiliary by name, the masked autoencoder first."""
        first = {} if self.auxiliary is None else {RECONSTRUCTION: self.auxiliary}
        return first | self.auxiliaries

    @property
    def seen_texture(self) -> TextureInput:
        """The map that an ``input: texture`` sees."""
        return self.texture_input or TextureInput()

    @property
    def sampled_clips(self) -> Clips:
        """Which clips of a video are looked at."""
        return self.clips or Clips()

    @field_validator("tasks", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        if isinstance(value, str):
            value = [value]
        return {name: {} for name in value} if isinstance(value, (list, tuple)) else value

    @field_validator("auxiliaries", mode="before")
    @classmethod
    def _options(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        if RECONSTRUCTION in value:
            raise ValueError("the masked autoencoder has a section of its own, 'auxiliary'")
        return {name: read_options(str(name), raw) for name, raw in value.items()}

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
        if not self.objectives and self.primary_weight != 1:
            raise ValueError("without an auxiliary, primary_weight must be 1")
        if self.scheme.kind != "joint":
            if self.primary_weight != 1:
                raise ValueError(
                    f"scheme {self.scheme.kind} takes one side at a time and weighs nothing; set primary_weight to 1"
                )
            if not self.objectives and (self.scheme.kind != "frozen" or self.scheme.pretraining):
                raise ValueError(f"scheme {self.scheme.kind} trains an auxiliary, and the recipe has none")
        if self.fusion != "none" and auxiliary is None:
            raise ValueError(f"fusion {self.fusion} joins the features of an auxiliary, and the recipe has none")
        inputs = (self.primary.input, auxiliary.input if auxiliary is not None else "rgb")
        if self.texture_input is not None and "texture" not in inputs:
            raise ValueError("texture_input is set, but neither primary.input nor auxiliary.input is texture")
        blended = self.train.self_blend
        if blended is not None and self.tasks and blended.label not in self.tasks:
            raise ValueError(f"train.self_blend makes the label '{blended.label}', which is not among the tasks")
        return self

    @model_validator(mode="after")
    def _check_clips(self) -> "Recipe":
        if self.encoder.num_frames is None:
            if self.clips is not None:
                raise ValueError(f"clips are for encoders of clips, and {self.encoder.name} sees images; remove them")
            return self
        if self.primary.input == "texture":
            raise ValueError("primary.input texture is for images; for clips use rgb")
        if self.train.self_blend is not None:
            raise ValueError("train.self_blend blends images; for clips remove it")
        return self
