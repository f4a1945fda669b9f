"""Sheets that show the texture maps of one image, and files with the codes of one descriptor.

Example::

    texture_sheet(Path("face.png"), Path("sheet.png"))
    texture_codes(Path("face.png"), Path("codes.npy"), "local_binary_pattern", settings=["points=16", "radius=2"])
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from auxface.atomic import atomic_file, refuse_existing
from auxface.data.images.decode import UnreadableImage, read_image
from auxface.errors import InputError

COLUMNS = (5, 4, 6, 3)
# Minimum width of a panel, space between panels and height of a title, in pixels.
PANEL, GAP, TITLE = 192, 10, 28
# Variants that are drawn after the defaults on a sheet of all descriptors.
VARIANTS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("uniform pattern, 16 points", "local_binary_pattern", {"points": 16, "radius": 2, "method": "uniform"}),
    ("weber excitation", "weber_local_descriptor", {"output": "excitation"}),
)
# Larger images are first subsampled by an integer step.
SHEET_SIDE = 512


def texture_codes(
    image: Path, out: Path, descriptor: str, *, settings: Iterable[str] = (), overwrite: bool = False
) -> np.ndarray:
    """Write the codes of one descriptor as a .npy file and return them.

    Args:
        image: image file; color is converted to gray by ITU-R BT.601 in integer arithmetic.
        out: file to write; ``numpy.load`` reads it without pickle.
        descriptor: name of a descriptor in ``auxface.texture.available()``.
        settings: parameters of the descriptor, such as ``points=16``.
        overwrite: whether to replace ``out`` if it exists.

    Raises:
        InputError: the image is unreadable, the descriptor or a parameter is unknown, or the output exists.
    """
    if out.suffix != ".npy":
        raise InputError(f"{out}: the name of a code file must end in .npy")
    refuse_existing(out, overwrite)
    maps = _describe(_gray(image), image, descriptor, read_settings(settings))
    with atomic_file(out) as beside:
        np.save(beside, maps, allow_pickle=False)
    return maps


def texture_sheet(
    image: Path,
    out: Path,
    descriptor: str | None = None,
    *,
    settings: Iterable[str] = (),
    overwrite: bool = False,
) -> list[str]:
    """Write a PNG with the image and the titled maps of all descriptors or of one; return the names of the descriptors.

    Args:
        image: image file; images with a side longer than 512 pixels are subsampled first.
        out: PNG file to write.
        descriptor: name of the only descriptor to draw; by default all image descriptors are drawn.
        settings: parameters of ``descriptor``.
        overwrite: whether to replace ``out`` if it exists.

    Raises:
        InputError: the image is unreadable or too small, the descriptor or parameter is unknown, or the output exists.

    Example:
        >>> from pathlib import Path
        >>> import auxface
        >>> auxface.texture_sheet(next(Path("faces").glob("*.png")), Path("sheet.png"), "local_binary_pattern")
        ['local_binary_pattern']
    """
    from auxface import texture

    if out.suffix.lower() != ".png":
        raise InputError(f"{out}: the name of a sheet must end in .png")
    refuse_existing(out, overwrite)
    parameters = read_settings(settings)
    if parameters and descriptor is None:
        raise InputError("--set applies to one descriptor; name it with --descriptor")
    gray = _gray(image)
    step = -(-max(gray.shape) // SHEET_SIDE)
    gray = np.ascontiguousarray(gray[::step, ::step])
    found = texture.available()
    names = [name for name, known in found.items() if known.input == "image"] if descriptor is None else [descriptor]
    panels = [("image", gray)]
    for name in names:
        panels.append((name.replace("_", " "), _one_map(_describe(gray, image, name, parameters), name)))
        for title, of, values in VARIANTS if descriptor is None else ():
            if of == name:
                panels.append((title, _one_map(_describe(gray, image, name, values), name)))
    with atomic_file(out) as beside:
        _draw(panels, beside)
    return names


def read_settings(settings: Iterable[str]) -> dict[str, Any]:
    """Parse ``key=value`` pairs whose values are YAML.

    Raises:
        InputError: a pair has no ``=``, or a value is not valid YAML.
    """
    parameters: dict[str, Any] = {}
    for item in settings:
        name, equals, text = item.partition("=")
        if not equals or not name:
            raise InputError(f"--set {item}: write it as key=value, for example points=16")
        try:
            parameters[name] = yaml.safe_load(text)
        except yaml.YAMLError:
            raise InputError(f"--set {item}: '{text}' is not valid YAML") from None
    return parameters


def _gray(image: Path) -> np.ndarray:
    from auxface import texture

    try:
        return np.asarray(texture.gray(read_image(image)))
    except UnreadableImage as error:
        raise InputError(f"{image}: {error}") from None


def _describe(gray: np.ndarray, image: Path, name: str, parameters: dict[str, Any]) -> np.ndarray:
    from auxface import texture

    try:
        if texture.get(name).input != "image":
            raise InputError(f"{name} describes clips, not images; choose another descriptor")
        return np.asarray(texture.describe(gray, name, **parameters))
    except InputError:
        raise
    except (TypeError, ValueError) as error:
        raise InputError(f"{image}: {error}") from None


def _one_map(maps: np.ndarray, name: str) -> np.ndarray:
    """Return one map for display: the fraction of the strongest orientation per cell, or the mean of several maps."""
    if name == "histogram_of_oriented_gradients":
        return maps.max(axis=tuple(range(2, maps.ndim)))
    return maps if maps.ndim == 2 else maps.astype(np.float64).mean(axis=tuple(range(maps.ndim - 2)))


def _draw(panels: list[tuple[str, np.ndarray]], path: Path) -> None:
    """Draw panels in rows, enlarging each map by an integer factor."""
    from PIL import Image, ImageDraw, ImageFont

    height, width = panels[0][1].shape
    scale = -(-PANEL // width)
    height, width = height * scale, width * scale
    # The number of columns is chosen to leave the fewest empty cells in the last row.
    columns = min(len(panels), min(COLUMNS, key=lambda count: -len(panels) % count))
    rows = -(-len(panels) // columns)
    sheet = Image.new("L", (columns * (width + GAP) + GAP, rows * (height + TITLE) + GAP), 255)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=13)
    for index, (title, values) in enumerate(panels):
        left, top = GAP + index % columns * (width + GAP), index // columns * (height + TITLE)
        pen.text((left, top + TITLE - 6), title, fill=0, font=font, anchor="ls")
        low, high = float(values.min()), float(values.max())
        gray = np.round((values - low) * (255 / max(high - low, 1e-9))).astype(np.uint8)
        drawn = Image.fromarray(gray).resize((width, height), Image.Resampling.NEAREST)
        sheet.paste(drawn, (left, top + TITLE))
    sheet.save(path, format="PNG", optimize=True)
