"""``auxface export``: a model directory to a file for other runtimes."""

from pathlib import Path
from typing import Any, Literal

import numpy as np

from auxface.atomic import refuse_existing
from auxface.data.decode import UnreadablePicture, fit_square, read_picture
from auxface.data.layouts.tree import files_under
from auxface.data.manifest import read_manifest
from auxface.data.usable import usable_samples
from auxface.errors import InputError
from auxface.inference.export import Format, metadata
from auxface.inference.export import export as export_model
from auxface.model.hub import fetch_model
from auxface.progress import progress_bar
from auxface.recipe import Recipe

_CALIBRATION_PICTURES = 256


def export(
    model: str | Path,
    out: Path,
    *,
    format: Format = "onnx",
    int8: Literal["none", "dynamic", "static"] = "none",
    calibrate: Path | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Write a model as ONNX or as a torch.export program, with preprocessing, class names and thresholds inside.

    Args:
        model: a model directory or a hub name.
        out: the file to make, ``.onnx`` or ``.pt2``.
        format: ``onnx`` or ``pt2``.
        int8: ``dynamic`` or ``static``: matrix products in 8-bit integers.
        calibrate: pictures for ``static``: a manifest, of which validation rows are read, or a folder of faces cut as
            the model's; at most 256 are used.
        overwrite: replace ``out`` if it exists.

    Returns:
        What was written, as the file's metadata holds it, with ``bytes``.

    Raises:
        InputError: a missing package, a model that cannot be exported, a wrong suffix, an output that exists.
    """
    if out.suffix != f".{format}":
        raise InputError(f"{out}: a file of format {format} is named .{format}")
    refuse_existing(out, overwrite)
    saved = fetch_model(model)
    pictures = None if calibrate is None else _pictures(calibrate, saved.config.recipe)
    with progress_bar(f"export {format}", 1) as advance:
        export_model(saved, out, format=format, int8=int8, calibration=pictures)
        advance(1)
    return {key: value for key, value in metadata(saved.config, int8).items() if key != "config"} | {
        "bytes": out.stat().st_size
    }


def _pictures(place: Path, recipe: Recipe) -> np.ndarray:
    size = recipe.encoder.image_size
    if not place.is_dir():
        part = usable_samples(read_manifest(place).only("val"), "val", recipe).pictures
        return part[np.unique(np.linspace(0, len(part) - 1, _CALIBRATION_PICTURES).round().astype(int))]
    if recipe.encoder.num_frames is not None:
        raise InputError(f"{place}: ranges of a model of clips are found on videos; name a manifest")
    squares = []
    for path in files_under(place):
        try:
            squares.append(fit_square(read_picture(path), size).transpose(2, 0, 1))
        except UnreadablePicture:
            continue
        if len(squares) == _CALIBRATION_PICTURES:
            break
    if not squares:
        raise InputError(f"{place}: no picture to find ranges on")
    return np.stack(squares)
