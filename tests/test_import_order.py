"""No file of auxface imports from a package above its own, at the top of a file, inside a function or by a string."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "auxface"
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path.name not in ("__init__.py", "__main__.py"))
FILES += sorted(path for path in PACKAGE.rglob("__init__.py") if path.parent != PACKAGE)

# From bottom to top; docs/architecture.md explains each package. A file imports from its own layer or a lower one.
LAYERS = (
    (
        "errors",
        "task",
        "sample_kind",
        "atomic",
        "progress",
        "provenance",
        "plugins",
        "device",
        "folder_record",
        "output_folder",
    ),
    ("texture",),
    ("evaluation",),
    ("recipe",),
    ("data",),
    ("encoders",),
    ("objectives",),
    ("model",),
    ("training",),
    ("inference",),
    ("studies",),
    ("serve",),
    ("demo", "doctor"),
    ("cli",),
)
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}


def test_every_package_has_a_place_in_the_order():
    found = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in FILES}
    assert found == set(LEVEL)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_do_not_reach_upward(path):
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    tree = ast.parse(path.read_text(encoding="utf-8"))
    upward = [name for name in _imported(tree) if LEVEL[name] > LEVEL[own]]
    assert upward == []


def test_an_upward_import_in_a_function_or_string_is_found():
    source = 'def f():\n    from auxface.cli.app import main\n    load("auxface.training.train")\n'
    assert list(_imported(ast.parse(source))) == ["cli", "training"]


def _imported(tree: ast.AST) -> Iterator[str]:
    """Yield the package of auxface behind each import, and behind each string that is a module's dotted name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module == "auxface":
            names = [f"auxface.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [node.module or ""]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _is_module(node.value):
            names = [node.value]
        else:
            continue
        for name in names:
            parts = name.split(".")
            if parts[0] == "auxface" and len(parts) > 1 and parts[1] in LEVEL:
                yield parts[1]


def _is_module(text: str) -> bool:
    parts = text.split(".")
    if len(parts) < 2 or parts[0] != "auxface" or not all(part.isidentifier() for part in parts):
        return False
    place = PACKAGE.joinpath(*parts[1:])
    return place.with_suffix(".py").is_file() or place.is_dir()
