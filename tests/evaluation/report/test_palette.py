"""The page's colors for color-blind readers: series differ in color and in marker, and contrast with the background."""

import re
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from skimage.color import rgb2lab

import auxface.evaluation
from auxface.evaluation.report.charts import MARKERS, SERIES, line_chart

STYLE = (Path(auxface.evaluation.__file__).parent / "templates" / "report.css").read_text()
# Viénot, Brettel and Mollon (1999), in linear RGB: what people without long (protan) or middle (deutan) cones see.
SEEN = {
    "all cones": np.eye(3),
    "protanopia": np.array([[0.11238, 0.88762, 0.0], [0.11238, 0.88762, 0.0], [0.00401, -0.00401, 1.0]]),
    "deuteranopia": np.array([[0.29275, 0.70725, 0.0], [0.29275, 0.70725, 0.0], [-0.02234, 0.02234, 1.0]]),
}


def themes() -> dict[str, np.ndarray]:
    found = re.findall(r"--series-\d: #([0-9a-f]{6})", STYLE)
    assert len(found) == 2 * SERIES
    rgb = np.array([[int(color[at : at + 2], 16) for at in (0, 2, 4)] for color in found]) / 255
    return {"light": rgb[:SERIES], "dark": rgb[SERIES:]}


def seen(rgb: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    moved = np.clip(linear @ matrix.T, 0, 1)
    return rgb2lab(np.where(moved <= 0.0031308, moved * 12.92, 1.055 * moved ** (1 / 2.4) - 0.055)[None])[0]


@pytest.mark.parametrize("cones", SEEN)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_series_differ_for_color_blind_readers(theme, cones):
    lab = seen(themes()[theme], SEEN[cones])
    apart = {pair: float(np.linalg.norm(lab[pair[0]] - lab[pair[1]])) for pair in combinations(range(SERIES), 2)}
    # A difference of about 2.3 can just be seen side by side; the first four, which most reports use, need more.
    first = min(value for pair, value in apart.items() if max(pair) < 4)
    assert first >= 15
    assert min(apart.values()) >= 10


@pytest.mark.parametrize(("theme", "paper"), [("light", "fdfcfa"), ("dark", "16181b")])
def test_series_have_contrast_to_the_background(theme, paper):
    """WCAG 2: graphics need a contrast of 3 to 1."""

    def luminance(rgb: np.ndarray) -> np.ndarray:
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        return linear @ np.array([0.2126, 0.7152, 0.0722])

    ground = luminance(np.array([int(paper[at : at + 2], 16) for at in (0, 2, 4)]) / 255)
    for light in luminance(themes()[theme]):
        assert (max(light, ground) + 0.05) / (min(light, ground) + 0.05) >= 3


def test_every_series_has_its_own_marker():
    assert len(set(MARKERS)) == SERIES


def test_dollar_signs_in_a_chart_are_plain_text():
    svg = line_chart("names", [], x_label="$\\x$", percent=False, x_names=["$\\frac$", "a_b$"])
    assert "$\\frac$" in svg
    assert "$\\x$" in svg
