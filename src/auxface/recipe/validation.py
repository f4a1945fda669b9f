"""Shared parts of recipes and study files: YAML parsing, a strict base class, bounded types and error messages.

Example:
    >>> from auxface.recipe.validation import parse_yaml
    >>> parse_yaml("{epochs: 3}", "a.yaml")
    {'epochs': 3}
"""

from collections.abc import Iterable
from typing import Annotated, Any, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from auxface.errors import InputError
from auxface.plugins import nearest

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
Width = Annotated[int, Field(ge=4, le=8192)]
Depth = Annotated[int, Field(ge=1, le=128)]
Heads = Annotated[int, Field(ge=1, le=128)]


_DEEPEST, _MOST_VALUES, _MOST_LETTERS = 24, 100_000, 100
# PyYAML raises these errors, for example, for a date with month 99, for a tag with an unsuitable value, and for a
# number with thousands of digits.
_YAML_ERRORS = (yaml.YAMLError, ValueError, TypeError, AttributeError, LookupError, OverflowError)


def parse_yaml(text: str, source: str) -> Any:
    """Parse YAML that contains only mappings with text keys, lists, text, numbers, booleans and null.

    Raises:
        InputError: the text is not valid YAML, is nested too deeply, is too large after aliases are expanded, or
            contains another type.
    """
    try:
        value = yaml.safe_load(text)
    except RecursionError:
        raise InputError(f"{shortened(source)}: nested too deeply; at most {_DEEPEST} levels are allowed") from None
    except _YAML_ERRORS as error:
        reason = shortened(str(error) or type(error).__name__, 3 * _MOST_LETTERS)
        raise InputError(f"{shortened(source)}: not valid YAML ({reason})") from None
    check_structure(value, source)
    return value


def check_structure(value: Any, source: str) -> None:
    """Check that a value consists of JSON types and exceeds neither the maximum depth nor the maximum size.

    Raises:
        InputError: the value violates one of these conditions; the message names the first invalid part.
    """
    source = shortened(source)
    places, visited = [(value, 0)], 0
    while places:
        one, depth = places.pop()
        visited += 1
        if depth > _DEEPEST:
            raise InputError(f"{source}: nested too deeply; at most {_DEEPEST} levels are allowed")
        if visited > _MOST_VALUES:
            raise InputError(f"{source}: more than {_MOST_VALUES} values after aliases are expanded; remove some")
        inner = one.values() if isinstance(one, dict) else one if isinstance(one, (list, tuple)) else ()
        for text in [*one, *inner] if isinstance(one, dict) else [one]:
            if isinstance(text, str) and any("\ud800" <= letter <= "\udfff" for letter in text):
                raise InputError(f"{source}: {shortened(ascii(text))} is not valid Unicode; remove the surrogate")
        for key in one if isinstance(one, dict) else ():
            if not isinstance(key, str):
                raise InputError(f"{source}: the key {shortened(repr(key))} is not text; write it in quotes")
        if isinstance(one, int) and abs(one) >= 2**63:
            raise InputError(f"{source}: an integer has more than 18 digits; write a smaller number")
        if not (one is None or isinstance(one, (dict, list, tuple, str, int, float))):
            raise InputError(
                f"{source}: a value is read as {type(one).__name__} ({shortened(repr(one))}); expected text, a number, "
                "a list or a mapping. Write text in quotes"
            )
        places += [(each, depth + 1) for each in inner]


def shortened(text: str, letters: int = _MOST_LETTERS) -> str:
    """Return a text on one line, truncated to at most ``letters`` characters."""
    line = " ".join(text[: 4 * letters].split())
    return line if len(line) <= letters else f"{line[: letters - 3]}..."


class Strict(BaseModel):
    """Base class of the recipe's sections: unknown keys and infinite numbers are errors, and values are immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)


def sentence(error: ValidationError, model: type[BaseModel], above: str = "") -> str:
    """Return the first validation error as a sentence that names the key; unknown keys are reported first.

    Args:
        error: error raised by ``model.model_validate``.
        model: class of the section that was validated.
        above: dotted key of the section in the recipe, such as ``auxiliaries.cluster_contrast``.
    """
    problems = error.errors()
    unknown = [problem for problem in problems if problem["type"] == "extra_forbidden"]
    first = (unknown or problems)[0]
    path, inner = _walk(first["loc"], model)
    if unknown:
        key = shortened(str(first["loc"][-1]))
        parent = _dotted([above, *path])
        fields = tuple(inner.model_fields)
        hint = nearest(key, fields, prefix=f"{parent}." if parent else "")
        return f"unknown key '{_dotted([parent, key])}'{hint}; known keys: {', '.join(fields)}"
    place = shortened(_dotted([above, *path]))
    if first["type"] == "value_error":
        reason = str(first["ctx"]["error"] if "ctx" in first else first["msg"])
        return (f"{place}: " if place else "") + shortened(reason, 10 * _MOST_LETTERS)
    if first["type"] == "missing":
        return f"{place} is missing; add it"
    # A key with several allowed types causes one error for each type.
    messages = [_message(problem) for problem in problems if _walk(problem["loc"], model)[0] == path]
    others = [message.removeprefix("Input should be ") for message in dict.fromkeys(messages[1:])]
    message = " or ".join([messages[0][0].lower() + messages[0][1:], *others])
    return f"{place}: {message}, not {shortened(repr(first['input']))}"


def _message(problem: Any) -> str:
    is_mapping = problem["type"] in ("dict_type", "model_type", "model_attributes_type")
    return "Input should be a mapping of keys to values" if is_mapping else problem["msg"]


def _walk(location: tuple[int | str, ...], model: type[BaseModel]) -> tuple[list[str], type[BaseModel]]:
    """Return the keys in an error's location, without pydantic's names for union members, and the section's class."""
    path: list[str] = []
    annotation: Any = model
    for part in location:
        if isinstance(part, int) or get_origin(annotation) is dict:
            path.append(str(part))
            if not isinstance(part, int):
                annotation = get_args(annotation)[1]
                model = _model_in(annotation) or model
        elif part in model.model_fields:
            path.append(part)
            annotation = model.model_fields[part].annotation
            model = _model_in(annotation) if get_origin(annotation) is not dict and _model_in(annotation) else model
    return path, model


def _model_in(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in get_args(annotation):
        found = _model_in(inner)
        if found is not None:
            return found
    return None


def _dotted(parts: Iterable[str]) -> str:
    return ".".join(part for part in parts if part)
