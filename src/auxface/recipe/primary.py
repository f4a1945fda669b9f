"""The supervised side of a recipe: which labels are learned, and how."""

from typing import Annotated, Literal

from pydantic import Field

from auxface.recipe.strict import Positive, Strict
from auxface.recipe.texture_input import Input


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
    """What the classifier sees: the picture, or its texture map (see ``texture_input``)."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of the target spread evenly over the classes (single-label tasks)."""
