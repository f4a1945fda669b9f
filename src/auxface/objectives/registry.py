"""The registry of primary and auxiliary objectives; other packages add objectives through an entry point.

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
        name: name of the objective in recipes.
        options: class of the objective's recipe section.
        build: callable ``build(options, context)`` that creates the objective.
        role: ``auxiliary``, or ``primary`` for an objective that makes the model's predictions.
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
    """Build an auxiliary of a recipe.

    Raises:
        InputError: the name is unknown or belongs to a primary objective, or the objective rejects the options.
    """
    return _auxiliary(name).build(options, context)


def build_primary(name: str, options: Strict, context: BuildContext) -> PrimaryObjective:
    """Build the primary objective of a recipe.

    Raises:
        InputError: the name is unknown.
    """
    objective = get(name).build(options, context)
    assert isinstance(objective, PrimaryObjective)
    return objective


def check_auxiliaries(recipe: Recipe, source: str | None = None) -> Recipe:
    """Validate the options of the auxiliaries whose options the recipe schema does not define.

    Args:
        recipe: the recipe.
        source: file or name of the recipe, used in messages; None to use its ``name``.

    Returns:
        The recipe with the validated options of every auxiliary, or the same object if nothing had to be validated.

    Raises:
        InputError: an auxiliary or a key is unknown (the message suggests the nearest known name), or a value is
            invalid.
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
        raise InputError(f"{name} is a primary objective; remove it from 'auxiliaries'")
    return spec
