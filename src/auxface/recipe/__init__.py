"""What can be configured, said once: the recipe's fields, and how a recipe file becomes a recipe."""

from auxface.recipe.auxiliary import Auxiliary, Target
from auxface.recipe.encoder import Encoder
from auxface.recipe.load import load_recipe, recipe_names
from auxface.recipe.primary import Primary, TaskOptions
from auxface.recipe.schema import Recipe
from auxface.recipe.train import SelfBlend, Train

__all__ = [
    "Auxiliary", "Encoder", "Primary", "Recipe", "SelfBlend", "Target", "TaskOptions", "Train", "load_recipe",
    "recipe_names",
]  # fmt: skip
