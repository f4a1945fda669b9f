"""A recipe as a whole; each section stands in a file of its own, with meaning, bounds and defaults of its fields.

Where the published systems state a value, it is the default (SSAT: Das et al., 2023, arXiv 2310.20704); the others are
ours and are named so in ``docs/method.md``.
"""

from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from auxface.recipe.auxiliary import Auxiliary
from auxface.recipe.encoder import Encoder
from auxface.recipe.primary import Primary, TaskOptions
from auxface.recipe.strict import Fraction, Strict
from auxface.recipe.train import Train


class Recipe(Strict):
    """Everything that decides a training besides the manifest."""

    name: str = "recipe"
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    tasks: dict[str, TaskOptions] = Field(default_factory=dict)
    """Labels of the manifest to learn; a list of names will do; empty: all that are not identities."""
    primary_weight: Fraction = 0.1
    """loss = primary_weight * primary + (1 - primary_weight) * auxiliary."""
    primary: Primary = Primary()
    auxiliary: Auxiliary | None = None
    encoder: Encoder = Encoder()
    train: Train = Train()

    @field_validator("tasks", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        if isinstance(value, str):
            value = [value]
        return {name: {} for name in value} if isinstance(value, (list, tuple)) else value

    @model_validator(mode="after")
    def _check(self) -> "Recipe":
        if self.auxiliary is None and self.primary_weight != 1:
            raise ValueError("without an auxiliary, primary_weight must be 1")
        blended = self.train.self_blend
        if blended is not None and self.tasks and blended.label not in self.tasks:
            raise ValueError(f"train.self_blend makes the label '{blended.label}', which is not among the tasks")
        return self
