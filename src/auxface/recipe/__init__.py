"""The recipe: what can be configured, and how a recipe file becomes a checked recipe."""

from auxface.recipe.auxiliaries import (
    AuxiliaryOptions,
    ClusterContrastOptions,
    ReconstructionOptions,
    Target,
    TextureInput,
)
from auxface.recipe.encoder import Clips, Encoder
from auxface.recipe.load import load_recipe, recipe_names
from auxface.recipe.optimization import SelfBlend, Train
from auxface.recipe.schema import Primary, Recipe, Scheme, TaskOptions, WeightSchedule

__all__ = [
    "AuxiliaryOptions", "Clips", "ClusterContrastOptions", "Encoder", "Primary", "Recipe", "ReconstructionOptions",
    "Scheme", "SelfBlend", "Target", "TaskOptions", "TextureInput", "Train", "WeightSchedule", "load_recipe",
    "recipe_names",
]  # fmt: skip
