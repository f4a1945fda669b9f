"""An explanation as one figure: the face and its scores, where the model looked, what it rebuilt and what it missed."""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np

from auxface.inference.explain import Explanation

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SHOWN = 8
_INK, _MUTED, _ACCENT = "#1d1f22", "#63676d", "#0b5c8c"


def heat(picture: np.ndarray, values: np.ndarray, ends: tuple[float, float] | None = None) -> np.ndarray:
    """A map of patches laid over its face, uint8 [S, S, 3]: dark where it is lowest, glowing where it is highest.

    Args:
        picture: uint8 [S, S, 3].
        values: float [rows, columns].
        ends: what is darkest and what glows most, for several maps on one scale; None: the map's own ends.
    """
    import matplotlib

    side = picture.shape[0]
    low, high = ends or (float(values.min()), float(np.percentile(values, 99.5)))
    scaled = np.clip((values - low) / max(high - low, 1e-12), 0, 1).astype(np.float32)
    smooth = np.clip(cv2.resize(scaled, (side, side), interpolation=cv2.INTER_CUBIC), 0, 1)
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)[..., None] / 255
    colours = matplotlib.colormaps["inferno"](0.12 + 0.86 * smooth)[..., :3].astype(np.float32)
    share = (0.25 + 0.6 * smooth)[..., None]
    # The face stays readable through the colours.
    return ((colours * (0.55 + 0.45 * grey) * share + 0.72 * grey * (1 - share)) * 255).clip(0, 255).astype(np.uint8)


def explanation_figure(explained: Sequence[Explanation]) -> bytes:
    """A PNG with a block per face."""
    import matplotlib
    from matplotlib.figure import Figure

    rows = [2 if len(one.textures) <= 1 else 1 + len(one.textures) for one in explained]
    with matplotlib.rc_context({"font.size": 9, "font.family": "DejaVu Sans", "text.color": _INK}):
        figure = Figure(figsize=(13.2, 2.95 * sum(rows) + 0.15 * len(explained)), dpi=110, facecolor="white")
        blocks = figure.subfigures(len(explained), 1, height_ratios=rows, squeeze=False)[:, 0]
        for number, (block, one, count) in enumerate(zip(blocks, explained, rows, strict=True)):
            _block(block, one, count, f"face {number + 1}: " if len(explained) > 1 else "")
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _block(figure: "Figure", one: Explanation, rows: int, label: str) -> None:
    grid = figure.add_gridspec(
        rows, 5, width_ratios=[1, 1, 1, 1, 1], left=0.012, right=0.985, top=1 - 0.16 / rows, bottom=0.12 / rows,
        wspace=0.07, hspace=0.24,
    )  # fmt: skip
    _show(figure.add_subplot(grid[0:2, 0:2]), one.picture, f"{label}{one.task}: {one.face.tasks[one.task]}", large=True)
    if one.attention is None:
        _say(figure.add_subplot(grid[0, 2]), "attention", "this encoder has no\nattention over patches")
    else:
        _show(figure.add_subplot(grid[0, 2]), heat(one.picture, one.attention), "where it looked\n(attention rollout)")
    _show(figure.add_subplot(grid[0, 3]), heat(one.picture, one.gradients), f"what moves '{one.output}'\n(gradients)")
    _bars(figure.add_subplot(grid[0, 4]), one)
    if not one.textures:
        _say(figure.add_subplot(grid[1, 2:5]), "", "this model was trained to classify alone; it rebuilds nothing")
    for row, texture in enumerate(one.textures, start=1):
        name = "RGB" if texture.name == "rgb" else texture.name.replace("_", " ")
        _show(figure.add_subplot(grid[row, 2]), texture.wanted, f"{name}\nof the face")
        _show(figure.add_subplot(grid[row, 3]), texture.rebuilt, f"{name}\nrebuilt where hidden")
        axes = figure.add_subplot(grid[row, 4])
        low, high = float(texture.surprise.min()), float(texture.surprise.max())
        _show(axes, heat(one.picture, texture.surprise), "surprise: where it\ncould not rebuild")
        axes.set_xlabel(f"{low:.2g} to {high:.2g} {texture.unit}", fontsize=7, color=_MUTED)


def _show(axes: "Axes", picture: np.ndarray, title: str, large: bool = False) -> None:
    axes.imshow(picture, interpolation="lanczos" if large else "nearest")
    axes.set_title(title, fontsize=12 if large else 8.5, loc="left", color=_INK, linespacing=1.25)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def _say(axes: "Axes", title: str, text: str) -> None:
    axes.axis("off")
    axes.set_title(title, fontsize=8.5, loc="left")
    axes.text(0.02, 0.5, text, transform=axes.transAxes, fontsize=9, color=_MUTED, wrap=True, va="center")


def _bars(axes: "Axes", one: Explanation) -> None:
    scores = one.face.tasks[one.task].probabilities
    best = sorted(scores.items(), key=lambda item: -item[1])[:_SHOWN][::-1]
    names, values = [name for name, _ in best], [value for _, value in best]
    colours = [_ACCENT if name == one.output else "#b9c3cb" for name in names]
    axes.barh(range(len(best)), values, color=colours, height=0.62)
    axes.set_xlim(0, 1.0)
    axes.set_ylim(-0.7, max(len(best), 4) - 0.3)
    for place, (name, value) in enumerate(best):
        axes.text(0.01, place + 0.36, name.replace("_", " "), fontsize=6.6, va="bottom", color=_INK)
        inside = value > 0.84
        ink = ("white" if colours[place] == _ACCENT else _INK) if inside else _MUTED
        axes.text(min(value + 0.02, 0.86), place, f"{value:.0%}", fontsize=7, va="center", color=ink)
    axes.set_title("calibrated\nprobabilities", fontsize=8.5, loc="left")
    axes.axis("off")
    axes.set_box_aspect(1)
