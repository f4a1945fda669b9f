"""docs/architecture.md names files and functions that exist."""

import re
from pathlib import Path

import pytest

import auxface

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
NOT_PATHS = {"texture.describe", "report.json"}
PATHS = sorted(set(re.findall(r"`([\w./-]+(?:\.\w+|/))`", TEXT)) - NOT_PATHS)
CHANGES = TEXT.split("## Where do I change what?")[1]


def place_of(path: str) -> Path:
    """The file or folder of a path, relative to the package or to the repository."""
    inside = ROOT / "src" / "auxface" / path
    return inside if inside.exists() else ROOT / path


def test_the_page_names_paths():
    assert len(PATHS) > 100
    assert "texture/" in PATHS
    assert "evaluation/report/page.py" in PATHS


@pytest.mark.parametrize("path", PATHS)
def test_every_path_exists(path):
    assert place_of(path).exists()


@pytest.mark.parametrize("row", [line for line in CHANGES.splitlines() if line.startswith("| ")][1:])
def test_names_in_brackets_are_in_the_file_named(row):
    for path, names in re.findall(r"`([\w./]+\.py)`[^`;|]*?\(((?:`\w+`(?:, )?)+)\)", row):
        for name in re.findall(r"`(\w+)`", names):
            assert re.search(rf"^(def {name}\(|{name} = )", place_of(path).read_text(encoding="utf-8"), re.MULTILINE)


def test_public_functions_are_in_the_api():
    table = TEXT.split("## The packages")[1].split("\n## ")[0]
    cells = [line.split("|")[-2] for line in table.splitlines() if line.startswith("| `")]
    names = {name for cell in cells for name in re.findall(r"`(\w+)`", cell)} - {"auxface"}
    assert names <= set(auxface.__all__)
    assert {"train", "predict", "audit", "study"} <= names
