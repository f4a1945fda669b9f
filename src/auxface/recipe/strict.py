"""What every section of a recipe shares: no unknown key, no change after reading, and the bounds of its numbers."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
Width = Annotated[int, Field(ge=4, le=8192)]
Depth = Annotated[int, Field(ge=1, le=128)]
Heads = Annotated[int, Field(ge=1, le=128)]


class Strict(BaseModel):
    """A section of a recipe."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
