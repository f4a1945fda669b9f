"""Images with their faces boxed and labeled."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from auxface.data.images.decode import UnreadableImage
from auxface.errors import InputError
from auxface.inference.prediction import Face, Prediction
from auxface.inference.preprocessing import read_any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Apart for people who see few colors (Okabe and Ito, 2008), and light enough under dark text.
COLORS: tuple[tuple[int, int, int], ...] = (
    (240, 228, 66), (86, 180, 233), (230, 159, 0), (0, 200, 150), (230, 150, 195),
)  # fmt: skip
_INK = (20, 22, 25)
_LINES = 4
# Sides under which labels do not fit.
_LEAST = 240


def boxed(pixels: np.ndarray, faces: Sequence[Face], numbers: Sequence[int] | None = None) -> np.ndarray:
    """The pixels with a box and the answers of every face, uint8 [H, W, 3].

    Args:
        pixels: uint8 [H, W, 3] RGB.
        faces: what to draw.
        numbers: of the faces, for their colors; without it their places.
    """
    image = Image.fromarray(pixels)
    draw = ImageDraw.Draw(image)
    side = min(image.size)
    line = max(1, round(side / 240))
    for place, face in enumerate(faces):
        color = COLORS[(place if numbers is None else numbers[place]) % len(COLORS)]
        x, y, width, height = face.box
        draw.rectangle((x, y, x + width - 1, y + height - 1), outline=color, width=line)
        lines = [f"{name}: {answer}" for name, answer in face.tasks.items()]
        if len(lines) > _LINES:
            lines = [*lines[: _LINES - 1], f"and {len(lines) - _LINES + 1} more"]
        _label(draw, image.size, face.box, lines, color, line)
    return np.asarray(image)


def legible(image: np.ndarray, faces: Sequence[Face]) -> tuple[np.ndarray, list[Face]]:
    """An image that is too small for labels, enlarged by a whole number, with its faces; any other as it is."""
    factor = -(-_LEAST // min(image.shape[:2]))
    if factor < 2:
        return image, list(faces)
    height, width = image.shape[:2]
    large = Image.fromarray(image).resize((width * factor, height * factor), Image.Resampling.BICUBIC)
    scaled = [replace(face, box=tuple(factor * value for value in face.box)) for face in faces]
    return np.asarray(large), scaled


def _label(
    draw: ImageDraw.ImageDraw,
    size: tuple[int, int],
    box: tuple[float, float, float, float],
    lines: list[str],
    color: tuple[int, int, int],
    line: int,
) -> None:
    text = "\n".join(lines)
    points = max(9, round(min(size) / 34))
    while True:
        font = _font(points)
        left, top, right, bottom = draw.multiline_textbbox((0, 0), text, font=font, spacing=2)
        wide, high = right - left + 4 * line + 4, bottom - top + 2 * line + 4
        if wide <= size[0] or points <= 7:
            break
        points -= 1
    x = min(max(0.0, box[0]), max(0.0, size[0] - wide))
    # Above the box, else below it, else inside.
    y = box[1] - high
    if y < 0:
        y = box[1] + box[3]
    if y + high > size[1]:
        y = max(0.0, min(box[1], size[1] - high))
    draw.rectangle((x, y, x + wide, y + high), fill=color)
    draw.multiline_text((x + 2 * line + 2 - left, y + line + 2 - top), text, fill=_INK, font=font, spacing=2)


@cache
def _font(points: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    import matplotlib

    try:
        return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), points)
    except OSError:
        return ImageFont.load_default(points)


def prediction_figure(prediction: Prediction) -> "Figure":
    """A matplotlib figure of a prediction's image with its faces.

    Raises:
        InputError: the input cannot be read (again).
    """
    from matplotlib.figure import Figure

    if prediction.source is None:
        raise InputError(f"{prediction.input}: the prediction does not hold its image, so it cannot be drawn")
    try:
        image = read_any(prediction.source)
    except UnreadableImage as error:
        raise InputError(f"{prediction.input}: {error}") from None
    drawn = boxed(image, prediction.faces)
    height, width = drawn.shape[:2]
    scale = 7 / max(height, width)
    figure = Figure(figsize=(width * scale, height * scale + (0.35 if prediction.reason else 0)), dpi=120)
    axes = figure.subplots()
    axes.imshow(drawn)
    axes.axis("off")
    if prediction.reason:
        axes.set_title(prediction.reason, fontsize=10)
    figure.subplots_adjust(left=0, right=1, bottom=0, top=0.93 if prediction.reason else 1)
    return figure
