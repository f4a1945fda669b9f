"""Registries of named objects, which other packages can extend, and suggestions for misspelled names.

Texture descriptors, layouts, encoder families, objectives and corruptions each have one :class:`Registry`. Another
package adds its own objects through an entry point; the user does not have to import that package:

    [project.entry-points."auxface.descriptors"]
    my_pattern = "my_package.my_module:descriptor"

Example:
    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True)
    ... class Color:
    ...     name: str
    >>> colors = Registry("color", "my_package.colors", Color)
    >>> colors.register(Color("yellow"))
    Color(name='yellow')
    >>> colors.get("yelow")
    Traceback (most recent call last):
        ...
    auxface.errors.InputError: unknown color 'yelow' (did you mean 'yellow'?); expected one of yellow
"""

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import entry_points
from typing import Generic, Protocol, TypeVar

from auxface.errors import InputError


class Named(Protocol):
    """Protocol of the objects in a :class:`Registry`: each object has a name."""

    @property
    def name(self) -> str:
        """The name under which the object is registered."""
        ...


T = TypeVar("T", bound=Named)


class Registry(Generic[T]):
    """Named objects of one type: built-in objects and objects of installed packages.

    Args:
        kind: kind of the objects, used in messages, such as ``texture descriptor``.
        group: entry point group in which other packages list their objects.
        item_type: class of the objects; each object has a ``name`` and is compared by value.
    """

    def __init__(self, kind: str, group: str, item_type: type[T]) -> None:
        self.kind = kind
        self.group = group
        self.item_type = item_type
        self._items: dict[str, T] = {}
        self._loaded = False

    def register(self, item: T) -> T:
        """Register an object under its name and return the object.

        Registering an equal object again changes nothing.

        Raises:
            TypeError: the object is not of this registry's type.
            ValueError: a different object already has the name.
        """
        if not isinstance(item, self.item_type):
            raise TypeError(f"expected {_dotted_name(self.item_type)}, got {type(item).__name__}")
        if self._items.setdefault(item.name, item) != item:
            raise ValueError(f"another {self.kind} is registered as '{item.name}'; choose another name")
        return item

    def get(self, name: str) -> T:
        """Return the object registered under ``name``.

        Raises:
            InputError: no object has the name. The message suggests the nearest name and lists all names.
        """
        if name not in self._items:
            self._load_entry_points()
        if name not in self._items:
            have = f"expected one of {', '.join(sorted(self._items))}" if self._items else "none is registered"
            raise InputError(f"unknown {self.kind} '{name}'{nearest(name, self._items)}; {have}")
        return self._items[name]

    def available(self) -> dict[str, T]:
        """Return all objects by name: built-in objects in the order of registration, then those of entry points."""
        self._load_entry_points()
        return dict(self._items)

    @contextmanager
    def isolated(self) -> Iterator[None]:
        """Undo all registrations made inside a ``with`` block when the block ends; for tests.

        Entry points are read again inside the block and after the block.
        """
        items = dict(self._items)
        self._loaded = False
        try:
            yield
        finally:
            self._items, self._loaded = items, False

    def _load_entry_points(self) -> None:
        if self._loaded:
            return
        for point in entry_points(group=self.group):
            item = point.load()
            try:
                self.register(item)
            except (TypeError, ValueError) as error:
                raise type(error)(f"entry point {point.name} = {point.value} of {self.group}: {error}") from error
        self._loaded = True


def nearest(word: object, known: Iterable[str], *, prefix: str = "", count: int = 1) -> str:
    """Return a suggestion for a misspelled word, to be appended to an error message; case is ignored.

    Args:
        word: word that the user wrote.
        known: allowed words.
        prefix: text written before each suggestion, such as the section of a recipe key and a dot.
        count: maximum number of suggestions.

    Returns:
        `` (did you mean 'x'?)`` with the nearest known words, or an empty string if none is similar.

    Example:
        >>> nearest("epoch", ["batch_size", "epochs"], prefix="train.")
        " (did you mean 'train.epochs'?)"
    """
    words = {one.lower(): one for one in known}
    close = difflib.get_close_matches(str(word).lower(), list(words), n=count, cutoff=0.5)
    if not close:
        return ""
    *others, last = [f"'{prefix}{words[match]}'" for match in close]
    return f" (did you mean {', '.join(others)} or {last}?)" if others else f" (did you mean {last}?)"


def _dotted_name(item_type: type) -> str:
    return f"{item_type.__module__}.{item_type.__qualname__}"
