"""The supervised side of a recipe: which labels are learned, and how."""

from typing import Annotated

from pydantic import Field

from auxface.recipe.strict import Positive, Strict


class TaskOptions(Strict):
    """How one label of the manifest is learned."""

    classes: tuple[str, ...] = ()
    """Class names, in order, that the manifest must have; empty: whatever it has."""
    weight: Positive = 1.0
    """Weight among the primary tasks."""


class Primary(Strict):
    """The supervised side."""

    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of the target spread evenly over the classes (single-label tasks)."""
