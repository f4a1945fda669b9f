"""Examples in docs/texture.md run as written."""

import inspect
import re
import sys
import types
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest

from auxface import plugins, texture
from auxface.texture.registry import registry

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "texture.md"


@pytest.fixture
def module() -> Iterator[types.ModuleType]:
    """The module that the document shows, as if another package had it."""
    section = DOCUMENT.read_text().split("## Adding a descriptor")[1]
    code = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    assert code
    made = types.ModuleType("my_package.my_texture")
    exec(compile(code[1], str(DOCUMENT), "exec"), made.__dict__)
    sys.modules["my_package"], sys.modules[made.__name__] = types.ModuleType("my_package"), made
    yield made
    del sys.modules["my_package"], sys.modules[made.__name__]


@pytest.fixture
def own_registry() -> Iterator[None]:
    with registry.isolated():
        yield


@pytest.mark.usefixtures("own_registry")
def test_the_documented_descriptor_is_found(module: types.ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    line = re.search(r'entry-points\."([\w.]+)"\]\n(\w+) = "([\w.:]+)"', DOCUMENT.read_text())
    assert line
    point = EntryPoint(name=line[2], value=line[3], group=line[1])
    monkeypatch.setattr(plugins, "entry_points", lambda group: [point] if group == line[1] else [])
    assert "row_pattern" in texture.available()
    image = np.array([[1, 5, 3], [4, 4, 4], [9, 0, 9]], np.uint8)
    codes = texture.describe(image, "row_pattern")
    np.testing.assert_array_equal(codes, [[3, 0, 3], [3, 3, 3], [0, 3, 0]])
    planes = texture.encode_target(codes, "row_pattern", "bits")
    assert planes.shape == (2, 3, 3)
    assert texture.target_channels("row_pattern") == 2


@pytest.mark.parametrize("name", [name for name in texture.__all__ if inspect.isfunction(getattr(texture, name))])
def test_every_public_function_has_an_example(name: str) -> None:
    assert "Example:\n" in (getattr(texture, name).__doc__ or "")


def test_the_documented_use_runs(capsys: pytest.CaptureFixture[str]) -> None:
    section = DOCUMENT.read_text().split("## Use")[1]
    code = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    assert code
    names: dict[str, object] = {}
    exec(compile(code[1], str(DOCUMENT), "exec"), names)
    for line in code[1].splitlines():
        name, shape = line.split(" = ")[0], re.search(r"# .*?\[([\d, ]+)\]", line)
        if shape and name != "codes":
            assert tuple(names[name].shape) == tuple(map(int, shape[1].split(","))), line  # type: ignore[attr-defined]
    assert "Jabid" in capsys.readouterr().out
