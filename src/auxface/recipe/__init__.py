"""What can be configured, said once: the recipe's fields, and how a recipe file becomes a recipe."""

from auxface.recipe.auxiliary import Auxiliary, AuxiliaryOptions, Objective, Target, TextureInput
from auxface.recipe.encoder import Clips, Encoder
from auxface.recipe.load import load_recipe, recipe_names
from auxface.recipe.optimization import SelfBlend, Train
from auxface.recipe.schema import Primary, Recipe, Scheme, TaskOptions, WeightSchedule

__all__ = [
    "Auxiliary", "AuxiliaryOptions", "Clips", "Encoder", "Objective", "Primary", "Recipe", "Scheme", "SelfBlend",
    "Target", "TaskOptions", "TextureInput", "Train", "WeightSchedule", "load_recipe", "recipe_names",
]  # fmt: skip
