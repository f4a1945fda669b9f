"""Load a recipe from a file, from its base recipes, and from overrides such as ``--set a.b=c``."""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from auxface.errors import InputError
from auxface.plugins import nearest
from auxface.recipe.schema import Recipe
from auxface.recipe.validation import check_structure, parse_yaml, sentence, shortened

_LARGEST_FILE = 1_000_000
_LONGEST_CHAIN = 16


def recipe_names() -> tuple[str, ...]:
    """Return the names of the packaged recipes."""
    folder = resources.files("auxface") / "recipes"
    return tuple(sorted(item.name.removesuffix(".yaml") for item in folder.iterdir() if item.name.endswith(".yaml")))


def load_recipe(
    source: str | Path, overrides: Iterable[str] = (), *, settings: Mapping[str, Any] | None = None
) -> Recipe:
    """Return the validated recipe of a file or of a packaged recipe, with overrides applied.

    Args:
        source: YAML file, or name of a packaged recipe, such as ``l_ssat`` or ``recipes/l_ssat.yaml``.
        overrides: overrides such as ``train.epochs=3``; the value is parsed as YAML.
        settings: overrides with parsed values, such as ``{"train.epochs": 3}``.

    Raises:
        InputError: the recipe does not exist, the recipe is not valid YAML, a key is unknown (the message suggests the
            nearest key), or a value has the wrong type or is out of range.
    """
    raw = _read(source, seen=())
    for item in overrides:
        key, equals, text = item.partition("=")
        if not equals:
            raise InputError(f"--set {shortened(item)}: expected key=value, for example train.epochs=3")
        _override(raw, key.strip(), parse_yaml(text, f"--set {item}"))
    for key, value in (settings or {}).items():
        _override(raw, key, value)
    check_structure(raw, str(source))
    return check_recipe(raw, str(source))


def check_recipe(raw: Mapping[str, Any], name: str) -> Recipe:
    """Validate a mapping as a recipe; error messages begin with ``name``.

    Raises:
        InputError: a key is unknown, or a value has the wrong type or is out of range.
    """
    try:
        return Recipe.model_validate(raw)
    except ValidationError as error:
        raise InputError(f"{name}: {sentence(error, Recipe)}") from None


def recipe_hash(recipe: Recipe) -> str:
    """Return the SHA-256 hash of a recipe; the order of the keys does not matter."""
    return hashlib.sha256(json.dumps(recipe.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()


def _read(source: str | Path, seen: tuple[str, ...], folder: Path | None = None) -> dict[str, Any]:
    text, where, key = _text(source, folder)
    if key in seen:
        chain = " -> ".join((*seen, key))
        raise InputError(f"{source}: circular 'base' reference ({chain}); remove one of these 'base' keys")
    if len(seen) >= _LONGEST_CHAIN:
        raise InputError(f"{source}: the chain of base recipes is longer than {_LONGEST_CHAIN}; merge some of them")
    raw = parse_yaml(text, str(source))
    if not isinstance(raw, dict):
        raise InputError(f"{source}: expected a mapping of keys to values")
    below = raw.pop("base", None)
    if below is None:
        return raw
    if not isinstance(below, str):
        raise InputError(f"{source}: base must be the name of a recipe")
    return _merge(_read(below, (*seen, key), where), raw)


def _text(source: str | Path, folder: Path | None) -> tuple[str, Path | None, str]:
    path = Path(source) if folder is None or Path(source).is_absolute() else folder / source
    # Path.is_file is not used, because it raises an error for a name that is too long.
    if os.path.isfile(path):
        if path.stat().st_size > _LARGEST_FILE:
            raise InputError(
                f"{source}: the file has {path.stat().st_size} bytes; a recipe can have at most {_LARGEST_FILE}"
            )
        try:
            return path.read_text(encoding="utf-8"), path.parent, str(path.resolve())
        except (OSError, UnicodeDecodeError):
            raise InputError(f"{source}: not a readable text file") from None
    name = Path(source).name.removesuffix(".yaml")
    if Path(source).parent.as_posix() in (".", "recipes") and name in recipe_names():
        return (resources.files("auxface") / "recipes" / f"{name}.yaml").read_text(encoding="utf-8"), None, name
    known = ", ".join(recipe_names())
    raise InputError(f"{source}: no such recipe{nearest(name, recipe_names())}; expected a YAML file or one of {known}")


def _merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merge(merged[key], value) if both else value
    return merged


def _override(raw: dict[str, Any], dotted: str, value: Any) -> None:
    keys = dotted.split(".")
    if not all(keys):
        raise InputError(f"--set {shortened(dotted)}=...: a part of the key is empty; expected, e.g., train.epochs=3")
    place = raw
    for key in keys[:-1]:
        if not isinstance(place.get(key), dict):
            place[key] = {}
        place = place[key]
    place[keys[-1]] = _number(value) if isinstance(value, str) else value


def _number(text: str) -> str | float:
    """Convert numbers such as 1e-3, which YAML 1.1 parses as strings."""
    try:
        return float(text)
    except ValueError:
        return text
