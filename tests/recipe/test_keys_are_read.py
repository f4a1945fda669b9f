"""No dead keys: what a recipe can say, some code outside of the recipe asks for."""

import re
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel

import auxface
from auxface.recipe import Recipe
from auxface.recipe.objective_registry import available

PACKAGE = Path(auxface.__file__).parent
# Read through a property of the section: `texture_input` as `seen_texture`, and so on.
BEHIND = {
    "texture_input": "seen_texture",
    "pretrain_fraction": "pretraining",
    "auxiliaries": "objectives",
    "clips": "sampled_clips",
}


def models_in(annotation):
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from models_in(inner)


def sections():
    waiting, seen = [Recipe, *(objective.options for objective in available().values())], []
    while waiting:
        model = waiting.pop()
        if model not in seen:
            seen.append(model)
            waiting += [inner for field in model.model_fields.values() for inner in models_in(field.annotation)]
    return seen


SOURCE = "\n".join(path.read_text() for path in PACKAGE.rglob("*.py") if path.parent.name != "recipe")


@pytest.mark.parametrize("section", sections(), ids=lambda section: section.__name__)
def test_every_key_is_asked_for_outside_of_the_recipe(section):
    asked = {name: BEHIND.get(name, name) for name in section.model_fields}
    dead = [name for name, word in asked.items() if not re.search(rf"\.{word}\b", SOURCE)]
    assert dead == []
