"""The registry of objectives, primary and auxiliary; other packages add theirs by an entry point.

Example:
    >>> from auxface.objectives.registry import get
    >>> get("reconstruction").role
    'auxiliary'
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from auxface.errors import InputError
from auxface.objectives.objective import BuildContext, Objective, PrimaryObjective
from auxface.plugins import Registry
from auxface.recipe import AuxiliaryOptions, Recipe
from auxface.recipe.objectives import UncheckedOptions, read_auxiliary
from auxface.recipe.validation import Strict


@dataclass(frozen=True)
class ObjectiveSpec:
    """A registered kind of objective.

    Attributes:
        name: the name in recipes.
        options: the class of its recipe section.
        build: ``build(options, context)`` makes the objective.
        role: ``auxiliary``, or ``primary`` for an objective that gives the model's predictions.
    """

    name: str
    options: type[Strict]
    build: Callable[[Any, BuildContext], Objective]
    role: Literal["primary", "auxiliary"] = "auxiliary"


registry = Registry("objective", "auxface.objectives", ObjectiveSpec)
register = registry.register
get = registry.get
available = registry.available


def build_auxiliary(name: str, options: AuxiliaryOptions, context: BuildContext) -> Objective:
    """Build the auxiliary of a recipe.

    Raises:
        InputError: an unknown name, the name of a primary objective, or options that the objective rejects.
    """
    return _auxiliary(name).build(options, context)


def build_primary(name: str, options: Strict, context: BuildContext) -> PrimaryObjective:
    """Build the primary objective of a recipe.

    Raises:
        InputError: an unknown name.
    """
    objective = get(name).build(options, context)
    assert isinstance(objective, PrimaryObjective)
    return objective


def check_auxiliaries(recipe: Recipe, source: str | None = None) -> Recipe:
    """Validate the options of auxiliaries that the schema of recipes does not contain.

    Args:
        recipe: the recipe.
        source: the recipe's file or name, for messages; None: its ``name``.

    Returns:
        The recipe with the checked options of every auxiliary; the same object where there was nothing to check.

    Raises:
        InputError: an unknown auxiliary, an unknown key or a wrong value; the message names the nearest known one.
    """
    checked: dict[str, AuxiliaryOptions] = {}
    for name, options in recipe.auxiliaries.items():
        if isinstance(options, UncheckedOptions):
            try:
                section = _auxiliary(name).options
                assert issubclass(section, AuxiliaryOptions)
                checked[name] = read_auxiliary(name, options.model_dump(exclude_unset=True), section)
            except ValueError as error:
                raise InputError(f"{source or recipe.name}: auxiliaries: {error}") from None
    return recipe.model_copy(update={"auxiliaries": recipe.auxiliaries | checked}) if checked else recipe


def _auxiliary(name: str) -> ObjectiveSpec:
    spec = get(name)
    if spec.role != "auxiliary":
        raise InputError(f"{name} is a primary objective and cannot be an auxiliary")
    return spec
