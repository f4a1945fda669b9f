"""What can be configured, said once: the recipe's fields, and how a recipe file becomes a recipe."""

from auxface.recipe.auxiliary import Auxiliary, Target
from auxface.recipe.balance import Scheme, WeightSchedule
from auxface.recipe.clips import Clips
from auxface.recipe.encoder import Encoder
from auxface.recipe.load import load_recipe, recipe_names
from auxface.recipe.objective_registry import AuxiliaryOptions, Objective
from auxface.recipe.primary import Primary, TaskOptions
from auxface.recipe.schema import Recipe
from auxface.recipe.texture_input import TextureInput
from auxface.recipe.train import SelfBlend, Train

__all__ = [
    "Auxiliary", "AuxiliaryOptions", "Clips", "Encoder", "Objective", "Primary", "Recipe", "Scheme", "SelfBlend",
    "Target", "TaskOptions", "TextureInput", "Train", "WeightSchedule", "load_recipe", "recipe_names",
]  # fmt: skip
