"""The clips section of a recipe: which clips of a video are looked at."""

from typing import Annotated

from pydantic import Field

from auxface.recipe.strict import Strict


class Clips(Strict):
    """Clips spread evenly over each video, the same in training, validation and use."""

    stride: Annotated[int, Field(ge=1, le=1000)] = 4
    """Frames from one frame of a clip to the next (Tong et al., 2022: 4). A manifest whose rows are clips that
    ``prepare`` cut has its own."""
    per_video: Annotated[int, Field(ge=1, le=1000)] = 5
    """Clips of a video at most; they may overlap in a short one but never coincide."""
