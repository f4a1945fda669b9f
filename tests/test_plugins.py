"""One contract over every registry, and suggestions for misspelled names."""

import dataclasses
import sys
import types
from contextlib import ExitStack
from importlib.metadata import EntryPoint

import pytest

from auxface import plugins
from auxface.data.augment.views import registry as views
from auxface.data.corruptions.registry import registry as corruptions
from auxface.data.layouts.registry import registry as layouts
from auxface.encoders.maskable import registry as families
from auxface.errors import InputError
from auxface.plugins import Registry, nearest
from auxface.texture.registry import registry as descriptors

REGISTRIES = (descriptors, layouts, families, corruptions, views)
each = pytest.mark.parametrize("registry", REGISTRIES, ids=lambda registry: registry.group)


@pytest.fixture(autouse=True)
def isolated():
    with ExitStack() as stack:
        for registry in REGISTRIES:
            stack.enter_context(registry.isolated())
        yield


@pytest.fixture
def install(monkeypatch):
    """Return a function that lists one object as the only entry point of its group."""

    def add(group, item):
        module = types.ModuleType("other_package")
        module.item = item
        monkeypatch.setitem(sys.modules, "other_package", module)
        point = EntryPoint("other", "other_package:item", group)
        monkeypatch.setattr(plugins, "entry_points", lambda group: [point] if group == point.group else [])

    return add


def one_of(registry):
    return next(iter(registry.available().values()))


def changed(item):
    """Return an object with the same name and another second field."""
    return dataclasses.replace(item, **{dataclasses.fields(item)[1].name: len})


@each
def test_a_registered_object_is_found_by_its_name(registry):
    item = dataclasses.replace(one_of(registry), name="other")
    assert registry.register(item) is item
    assert registry.get("other") is item
    assert list(registry.available())[-1] == "other"


@each
def test_an_equal_object_may_be_registered_again(registry):
    before = registry.available()
    registry.register(dataclasses.replace(one_of(registry)))
    assert registry.available() == before


@each
def test_another_object_of_the_same_name_is_refused(registry):
    item = one_of(registry)
    with pytest.raises(ValueError, match=rf"another {registry.kind} is registered as '{item.name}'"):
        registry.register(changed(item))
    assert registry.get(item.name) is item


@each
def test_an_object_of_another_type_is_refused(registry):
    with pytest.raises(TypeError, match=rf"expected auxface\..*{registry.item_type.__name__}, got float"):
        registry.register(3.0)


@each
def test_an_unknown_name_suggests_the_nearest(registry):
    name = one_of(registry).name
    with pytest.raises(InputError, match=rf"unknown {registry.kind} '{name}x' \(did you mean '{name}'\?\)"):
        registry.get(f"{name}x")


@each
def test_an_unknown_name_lists_every_name(registry):
    with pytest.raises(InputError) as caught:
        registry.get("0000")
    assert all(name in str(caught.value) for name in registry.available())


@each
def test_an_entry_point_adds_an_object(registry, install):
    item = dataclasses.replace(one_of(registry), name="other")
    install(registry.group, item)
    with registry.isolated():
        assert registry.get("other") is item
        assert list(registry.available())[-1] == "other"
    assert "other" not in registry._items


@each
@pytest.mark.parametrize("wrong", [3.0, "clash"])
def test_a_wrong_entry_point_is_named(registry, install, wrong):
    install(registry.group, changed(one_of(registry)) if wrong == "clash" else wrong)
    with registry.isolated(), pytest.raises((TypeError, ValueError), match=f"other_package:item of {registry.group}"):
        registry.available()


def test_a_registry_without_entry_points_is_empty():
    registry = Registry("color", "auxface.no_such_group", types.SimpleNamespace)
    assert registry.available() == {}
    with pytest.raises(InputError, match="unknown color 'red'; none is registered"):
        registry.get("red")


@pytest.mark.parametrize(
    ("word", "options", "expected"),
    [
        ("appl", {}, " (did you mean 'apple'?)"),
        ("APPL", {}, " (did you mean 'apple'?)"),
        ("zzz", {}, ""),
        (7, {}, ""),
        ("appl", {"prefix": "fruit."}, " (did you mean 'fruit.apple'?)"),
        ("aple", {"count": 3}, " (did you mean 'maple' or 'apple'?)"),
    ],
)
def test_nearest_words_are_suggested(word, options, expected):
    assert nearest(word, ["apple", "banana", "maple"], **options) == expected
