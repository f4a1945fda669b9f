"""Shared parts of the recipe's sections: a strict base class, types with bounds, and one-sentence error messages."""

from collections.abc import Iterable
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from auxface.plugins import nearest

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
Width = Annotated[int, Field(ge=4, le=8192)]
Depth = Annotated[int, Field(ge=1, le=128)]
Heads = Annotated[int, Field(ge=1, le=128)]


class Strict(BaseModel):
    """A section of a recipe: unknown keys and infinite numbers are errors, and values cannot be changed."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)


def sentence(error: ValidationError, model: type[BaseModel], above: str = "") -> str:
    """Return the first error of a validation as a sentence that names the key; unknown keys come first.

    Args:
        error: what ``model.model_validate`` raised.
        model: the section that was validated.
        above: key of the section in the recipe, such as ``auxiliaries.cluster_contrast``.
    """
    problems = error.errors()
    unknown = [problem for problem in problems if problem["type"] == "extra_forbidden"]
    first = (unknown or problems)[0]
    path, inner = _walk(first["loc"], model)
    if unknown:
        key = str(first["loc"][-1])
        parent = _dotted([above, *path])
        fields = tuple(inner.model_fields)
        hint = nearest(key, fields, prefix=f"{parent}." if parent else "")
        return f"unknown key '{_dotted([parent, key])}'{hint}; known here: {', '.join(fields)}"
    place = _dotted([above, *path])
    if first["type"] == "value_error":
        return (f"{place}: " if place else "") + str(first["ctx"]["error"] if "ctx" in first else first["msg"])
    # A key with several types has an error for each.
    messages = [problem["msg"] for problem in problems if _walk(problem["loc"], model)[0] == path]
    others = [message.removeprefix("Input should be ") for message in dict.fromkeys(messages[1:])]
    message = " or ".join([messages[0][0].lower() + messages[0][1:], *others])
    return f"{place}: {message}, not {first['input']!r}"


def _walk(location: tuple[int | str, ...], model: type[BaseModel]) -> tuple[list[str], type[BaseModel]]:
    """Return the keys in an error's location, without pydantic's names of union members, and the section."""
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
