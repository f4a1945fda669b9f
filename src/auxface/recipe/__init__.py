"""What can be configured, said once: the recipe's fields, and how a recipe file becomes a recipe."""

from auxface.recipe.load import load_recipe, recipe_names
from auxface.recipe.schema import Auxiliary, Encoder, Primary, Recipe, Target, TaskOptions, Train

__all__ = ["Auxiliary", "Encoder", "Primary", "Recipe", "Target", "TaskOptions", "Train", "load_recipe", "recipe_names"]
