"""Examples in docstrings run as written."""

import doctest
import importlib
import importlib.util
import pkgutil
from pathlib import Path

import pytest

import auxface

# Their examples read files that other examples write: tests/test_public_api.py runs them in order.
IN_ORDER = {
    *(f"auxface.data.{name}" for name in ("merge", "shards.writing", "show", "texture_sheet")),
    *(f"auxface.inference.{name}" for name in ("embed", "evaluate", "explain", "export")),
    *(f"auxface.inference.{name}" for name in ("predict", "predictor", "search", "verify")),
    *("auxface.model.joint", "auxface.objectives.reconstruction.learnable"),
    *("auxface.training.plan", "auxface.training.train"),
}


def modules_with_examples() -> list[str]:
    """The modules of auxface with examples, except those of auxface.evaluation, which have their own test."""
    found = []
    for module in pkgutil.walk_packages(auxface.__path__, "auxface."):
        place = importlib.util.find_spec(module.name)
        if module.name.startswith("auxface.evaluation") or place is None or place.origin is None:
            continue
        if module.name not in IN_ORDER and ">>> " in Path(place.origin).read_text():
            found.append(module.name)
    return found


@pytest.mark.parametrize("name", modules_with_examples())
def test_the_examples_in_docstrings_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert doctest.testmod(importlib.import_module(name)).failed == 0
