"""Figures of explanations: heat maps over a face, and a PNG with all maps of several faces.

png = explanation_figure(explain_image(predictor, "photo.jpg"))
"""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np

from auxface.inference.explain import Explanation

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MAX_BARS = 8
_TEXT, _MUTED, _ACCENT, _BAR = "#1d1f22", "#63676d", "#0b5c8c", "#b9c3cb"


def heat_map(image: np.ndarray, values: np.ndarray, limits: tuple[float, float] | None = None) -> np.ndarray:
    """Return a map of patches as colors over a face, dark for the lowest values and bright for the highest.

    Args:
        image: uint8 [S, S, 3].
        values: float [rows, columns].
        limits: The values of the darkest and the brightest color, for several maps on one scale; by default the minimum
            and the 99.5th percentile of ``values``.

    Returns:
        uint8 [S, S, 3].
    """
    import matplotlib

    side = image.shape[0]
    low, high = limits or (float(values.min()), float(np.percentile(values, 99.5)))
    scaled = np.clip((values - low) / max(high - low, 1e-12), 0, 1).astype(np.float32)
    smooth = np.clip(cv2.resize(scaled, (side, side), interpolation=cv2.INTER_CUBIC), 0, 1)
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)[..., None] / 255
    colors = matplotlib.colormaps["inferno"](0.12 + 0.86 * smooth)[..., :3].astype(np.float32)
    opacity = (0.25 + 0.6 * smooth)[..., None]
    # The colors are darkened by the face, so that it stays visible.
    blended = colors * (0.55 + 0.45 * gray) * opacity + 0.72 * gray * (1 - opacity)
    return (blended * 255).clip(0, 255).astype(np.uint8)


def explanation_figure(explanations: Sequence[Explanation]) -> bytes:
    """Return a PNG with a block of maps per face."""
    import matplotlib
    from matplotlib.figure import Figure

    rows = [2 if len(one.reconstructions) <= 1 else 1 + len(one.reconstructions) for one in explanations]
    with matplotlib.rc_context({"font.size": 9, "font.family": "DejaVu Sans", "text.color": _TEXT}):
        figure = Figure(figsize=(13.2, 2.95 * sum(rows) + 0.15 * len(explanations)), dpi=110, facecolor="white")
        blocks = figure.subfigures(len(explanations), 1, height_ratios=rows, squeeze=False)[:, 0]
        for number, (block, one, count) in enumerate(zip(blocks, explanations, rows, strict=True)):
            _draw_face(block, one, count, f"face {number + 1}: " if len(explanations) > 1 else "")
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _draw_face(figure: "Figure", one: Explanation, rows: int, label: str) -> None:
    grid = figure.add_gridspec(
        rows, 5, width_ratios=[1, 1, 1, 1, 1], left=0.012, right=0.985, top=1 - 0.16 / rows, bottom=0.12 / rows,
        wspace=0.07, hspace=0.24,
    )  # fmt: skip
    answer = f"{label}{one.task}: {one.face.tasks[one.task]}"
    _draw_image(figure.add_subplot(grid[0:2, 0:2]), one.image, answer, large=True)
    axes = figure.add_subplot(grid[0, 2])
    if one.attention is None:
        _draw_text(axes, "attention rollout", "this encoder has no\nattention over patches")
    else:
        _draw_image(axes, heat_map(one.image, one.attention), "attention rollout\n(all tasks)")
    gradients = heat_map(one.image, one.gradients)
    _draw_image(figure.add_subplot(grid[0, 3]), gradients, f"input gradients\n(of '{one.output}')")
    _draw_probabilities(figure.add_subplot(grid[0, 4]), one)
    if not one.reconstructions:
        _draw_text(figure.add_subplot(grid[1, 2:5]), "", "this model has no reconstruction task")
    for row, result in enumerate(one.reconstructions, start=1):
        name = "RGB" if result.name == "rgb" else result.name.replace("_", " ")
        _draw_image(figure.add_subplot(grid[row, 2]), result.target, f"{name}\n(target)")
        _draw_image(figure.add_subplot(grid[row, 3]), result.reconstruction, f"{name}\n(reconstructed while hidden)")
        axes = figure.add_subplot(grid[row, 4])
        low, high = float(result.error.min()), float(result.error.max())
        _draw_image(axes, heat_map(one.image, result.error), "reconstruction error\n(per patch)")
        axes.set_xlabel(f"{low:.2g} to {high:.2g} {result.unit}", fontsize=7, color=_MUTED)


def _draw_image(axes: "Axes", image: np.ndarray, title: str, large: bool = False) -> None:
    axes.imshow(image, interpolation="lanczos" if large else "nearest")
    axes.set_title(title, fontsize=12 if large else 8.5, loc="left", color=_TEXT, linespacing=1.25)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def _draw_text(axes: "Axes", title: str, text: str) -> None:
    axes.axis("off")
    axes.set_title(title, fontsize=8.5, loc="left")
    axes.text(0.02, 0.5, text, transform=axes.transAxes, fontsize=9, color=_MUTED, wrap=True, va="center")


def _draw_probabilities(axes: "Axes", one: Explanation) -> None:
    scores = one.face.tasks[one.task].probabilities
    # barh draws from the bottom up.
    best = sorted(scores.items(), key=lambda item: -item[1])[:_MAX_BARS][::-1]
    names, values = [name for name, _ in best], [value for _, value in best]
    colors = [_ACCENT if name == one.output else _BAR for name in names]
    axes.barh(range(len(best)), values, color=colors, height=0.62)
    axes.set_xlim(0, 1.0)
    axes.set_ylim(-0.7, max(len(best), 4) - 0.3)
    for place, (name, value) in enumerate(best):
        axes.text(0.01, place + 0.36, name.replace("_", " "), fontsize=6.6, va="bottom", color=_TEXT)
        inside = value > 0.84
        color = ("white" if colors[place] == _ACCENT else _TEXT) if inside else _MUTED
        axes.text(min(value + 0.02, 0.86), place, f"{value:.0%}", fontsize=7, va="center", color=color)
    axes.set_title("calibrated\nprobabilities", fontsize=8.5, loc="left")
    axes.axis("off")
    axes.set_box_aspect(1)
