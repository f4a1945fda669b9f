"""Render the facts about a manifest as one HTML file that needs no network, for small screens and dark mode too."""

import base64
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from auxface.data.images.decode import UnreadableImage, fit_square, read_image
from auxface.data.manifest import Manifest
from auxface.data.parallel import in_order
from auxface.data.show import Inspection
from auxface.data.video.frames import UnreadableVideo, is_video, stream_frames
from auxface.errors import InputError

_SIDE = 96
_PER_ROW = 10
_MAX_ROWS = 24
_MAX_PAIRS = 24
_MAX_FILES = 100


@dataclass(frozen=True)
class Thumb:
    """A thumbnail on the page.

    Attributes:
        source: a ``data:`` URL; empty if the file cannot be read.
        alt: the file's path, as alternative text.
    """

    source: str
    alt: str


def render_inspection(inspection: Inspection, name: str) -> str:
    """Return the HTML page.

    Args:
        inspection: the facts.
        name: of the manifest, for the title.
    """
    from jinja2 import Environment, PackageLoader

    environment = Environment(
        loader=PackageLoader("auxface.data"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("inspection.html.j2").render(
        name=name,
        facts=inspection.to_dict(),
        counts=inspection.counts,
        sheet=_sheet(inspection.manifest),
        leaks=_pairs(inspection, inspection.leaks.images),
        near_duplicates=_pairs(inspection, inspection.near_duplicates),
        files_shown=_MAX_FILES,
    )


def _sheet(manifest: Manifest) -> list[tuple[str, list[Thumb]]]:
    """Return rows of thumbnails: one per class of the first label that has classes, else one per split."""
    table = manifest.table
    named = next((name for name, label in manifest.labels.items() if label.kind in ("class", "binary")), None)
    if named is None:
        parts = [(split, rows) for split, rows in table.groupby("split", sort=False)]
    else:
        label = manifest.labels[named]
        values: list[Any] = [0, 1] if label.kind == "binary" else list(label.classes)
        parts = [(f"{named}: {text}", table[table[named] == value]) for text, value in zip(label.classes, values)]
    sheet = []
    for title, rows in parts[:_MAX_ROWS]:
        chosen = rows.sample(min(_PER_ROW, len(rows)), random_state=0)
        sheet.append((str(title), list(in_order(lambda path: _thumb(manifest.root / path, path), chosen["path"]))))
    return sheet


def _pairs(inspection: Inspection, pairs: pd.DataFrame) -> list[dict[str, Any]]:
    table, root = inspection.manifest.table, inspection.manifest.root
    shown = []
    for first, second, likeness in pairs.head(_MAX_PAIRS).itertuples(index=False):
        rows = [table.iloc[int(at)] for at in (first, second)]
        shown.append(
            {
                "likeness": f"{likeness:.3f}",
                "sides": [(_thumb(root / row["path"], row["path"]), row["split"]) for row in rows],
            }
        )
    return shown


def _thumb(path: Path, alt: str) -> Thumb:
    try:
        if is_video(path):
            image = next((frame for _, frame in stream_frames(path)), None)
        else:
            image = read_image(path)
    except (UnreadableImage, UnreadableVideo, InputError):
        image = None
    if image is None:
        return Thumb("", alt)
    buffer = io.BytesIO()
    Image.fromarray(fit_square(image, _SIDE)).save(buffer, "JPEG", quality=82)
    return Thumb("data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode(), alt)
