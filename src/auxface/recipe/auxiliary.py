"""The self-supervised side of a recipe: what is hidden, and what is rebuilt of it.

Seeing a texture map in place of an image.

The auxiliaries that a recipe can name: what each can be told, and how it is built.

A recipe stands below the objectives, so the ones of auxface are named here by where they are found; other packages add
theirs by entry points of the group ``auxface.objectives``.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from auxface.plugins import nearest
from auxface.recipe.validation import Depth, Fraction, Heads, Positive, Strict, Width, sentence

Input = Literal["rgb", "texture"]


class TextureInput(Strict):
    """The descriptor whose map is seen where an ``input`` says ``texture``; ``texture_input: NAME`` will do."""

    name: str = "local_directional_pattern"
    """A texture descriptor with a value for every pixel."""
    parameters: dict[str, Any] = Field(default_factory=dict)
    """Parameters of the descriptor, such as ``k`` or ``radius``."""


ENTRY_POINT_GROUP = "auxface.objectives"
RECONSTRUCTION = "reconstruction"
_OURS = {
    RECONSTRUCTION: "auxface.objectives.reconstruction.reconstruction",
    "cluster_contrast": "auxface.objectives.contrast.cluster_contrast",
}


class AuxiliaryOptions(Strict):
    """What every auxiliary can be told."""

    weight: Annotated[float, Field(ge=0)] = 1.0
    """Weight among the auxiliaries; 0: not run."""
    warmup: Fraction = 0.0
    """Share of the steps over which the weight rises linearly from 0."""


@dataclass(frozen=True)
class Objective:
    """A kind of auxiliary.

    Attributes:
        name: the name in recipes.
        options: the recipe section that it takes.
        build: ``build(options, setting)`` makes the module; see :class:`auxface.objectives.setting.Setting`.
    """

    name: str
    options: type[AuxiliaryOptions]
    build: Callable[[Any, Any], Any]


_registered: dict[str, Objective] = {}


def register(objective: Objective) -> Objective:
    """Add an objective under its name.

    Raises:
        ValueError: the name is taken by another objective.
    """
    if _registered.get(objective.name, objective) != objective:
        raise ValueError(f"an objective named {objective.name} is registered already")
    _registered[objective.name] = objective
    return objective


def available() -> dict[str, Objective]:
    """Every objective by name."""
    _load()
    return dict(_registered)


def get(name: str) -> Objective:
    """The objective of that name.

    Raises:
        ValueError: no such objective; the sentence names the nearest.
    """
    known = available()
    if name not in known:
        raise ValueError(f"no auxiliary named '{name}'{nearest(name, known)}; known: {', '.join(known)}")
    return known[name]


def read_options(name: str, raw: Any) -> AuxiliaryOptions:
    """Plain data to the checked options of one auxiliary.

    Raises:
        ValueError: no such auxiliary, or a key or value that it does not take; one sentence.
    """
    objective = get(name)
    if isinstance(raw, AuxiliaryOptions):
        return raw
    if not isinstance(raw, Mapping | None):
        raise ValueError(f"auxiliaries.{name}: expected a mapping of options, not {raw!r}")
    try:
        return objective.options.model_validate(raw or {})
    except ValidationError as error:
        raise ValueError(sentence(error, objective.options, f"auxiliaries.{name}")) from None


@functools.cache
def _load() -> None:
    for module in _OURS.values():
        register(import_module(module).OBJECTIVE)
    for point in entry_points(group=ENTRY_POINT_GROUP):
        objective = point.load()
        if not isinstance(objective, Objective):
            raise TypeError(f"entry point {point.name} of {ENTRY_POINT_GROUP} is no auxface.objectives.Objective")
        register(objective)


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
    """What is hidden in part: the image, or its texture map (see ``texture_input``)."""
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
    normalize_target: bool = False
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
