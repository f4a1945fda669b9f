"""Checks of a descriptor's parameters and of the image size that they need.

Example:
    >>> require_integer("points", 8, 1, 31)
    >>> require_integer("points", 40, 1, 31)
    Traceback (most recent call last):
        ...
    ValueError: points must be 1 to 31, got 40
"""

import math


def require_integer(name: str, value: object, low: int, high: int, *, odd: bool = False) -> None:
    """Check that a parameter is an integer from ``low`` to ``high``.

    Args:
        name: of the parameter, for the message.
        value: what the caller passed.
        low: smallest value allowed.
        high: largest value allowed.
        odd: whether even numbers are refused.

    Raises:
        TypeError: the value is not an integer.
        ValueError: the value is out of range, or even where ``odd`` is set.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    if not low <= value <= high or (odd and value % 2 == 0):
        raise ValueError(f"{name} must be {'an odd number ' if odd else ''}{low} to {high}, got {value}")


def require_number(name: str, value: object, low: float, *, above: bool = False) -> None:
    """Check that a parameter is a finite number of at least ``low``.

    Args:
        name: of the parameter, for the message.
        value: what the caller passed.
        low: smallest value allowed.
        above: whether ``low`` itself is refused.

    Raises:
        TypeError: the value is not a number.
        ValueError: the value is out of range.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number, got {value!r}")
    if not math.isfinite(value) or value < low or (above and value == low):
        raise ValueError(f"{name} must be {'above' if above else 'at least'} {low}, got {value}")


def require_border(border: str, allowed: tuple[str, ...]) -> None:
    """Check the border rule.

    Raises:
        ValueError: ``border`` is not one of ``allowed``.
    """
    if border not in allowed:
        raise ValueError(f"border must be one of {', '.join(allowed)}; got {border!r}")


def require_size(shape: tuple[int, ...], radius: int, border: str, name: str) -> None:
    """Check that an image or clip is large enough for a descriptor.

    Args:
        shape: sides of the image, or frames and sides of the clip.
        radius: support radius of the descriptor in pixels. ``reflect`` needs sides above the radius, ``valid`` sides
            above twice the radius.
        border: the border rule.
        name: of the descriptor, for the message.

    Raises:
        ValueError: a side is too small.
    """
    smallest = 1 + (2 * radius if border == "valid" else radius)
    if min(shape) < smallest:
        sides = " x ".join(map(str, shape))
        raise ValueError(f"{name} with border={border!r} needs sides of at least {smallest} pixels here, got {sides}")
