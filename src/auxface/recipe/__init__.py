"""Recipes: the schema of the options, and functions that load and validate recipe files."""

from auxface.recipe.load import load_recipe, recipe_names
from auxface.recipe.objectives import (
    AuxiliaryOptions,
    ClusterContrastOptions,
    LAFSOptions,
    NTXentOptions,
    Primary,
    ReconstructionOptions,
    Target,
    TextureInput,
)
from auxface.recipe.schema import Balance, Recipe, Scheme, TaskOptions
from auxface.recipe.sections import Clips, Encoder, SelfBlend, Train

__all__ = [
    "AuxiliaryOptions", "Balance", "Clips", "ClusterContrastOptions", "Encoder", "LAFSOptions", "NTXentOptions",
    "Primary", "Recipe", "ReconstructionOptions", "Scheme", "SelfBlend", "Target", "TaskOptions", "TextureInput",
    "Train", "load_recipe", "recipe_names",
]  # fmt: skip
