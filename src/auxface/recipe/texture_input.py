"""Seeing a texture map in place of a picture."""

from typing import Any, Literal

from pydantic import Field

from auxface.recipe.strict import Strict

Input = Literal["rgb", "texture"]


class TextureInput(Strict):
    """The descriptor whose map is seen where an ``input`` says ``texture``; ``texture_input: NAME`` will do."""

    name: str = "local_directional_pattern"
    """A texture descriptor with a value for every pixel."""
    parameters: dict[str, Any] = Field(default_factory=dict)
    """Parameters of the descriptor, such as ``k`` or ``radius``."""
