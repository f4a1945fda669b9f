"""Examples in docs/texture.md run as written."""

import inspect
import re
from pathlib import Path

import pytest

from auxface import texture

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "texture.md"


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
