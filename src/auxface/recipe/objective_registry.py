"""The auxiliaries that a recipe can name: what each can be told, and how it is built.

A recipe stands below the objectives, so the ones of auxface are named here by where they are found; other packages add
theirs by entry points of the group ``auxface.objectives``.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from typing import Annotated, Any

from pydantic import Field, ValidationError

from auxface.recipe.sentences import nearest, sentence
from auxface.recipe.strict import Fraction, Strict

ENTRY_POINT_GROUP = "auxface.objectives"
RECONSTRUCTION = "reconstruction"
_OURS = {
    RECONSTRUCTION: "auxface.objectives.reconstruction",
    "cluster_contrast": "auxface.objectives.cluster_contrast",
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
