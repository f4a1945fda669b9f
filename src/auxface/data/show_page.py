"""The facts about a manifest as one page: one file, no network, readable on a telephone and in the dark."""

import base64
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from auxface.data.images.decode import UnreadableImage, fit_square, read_image
from auxface.data.layouts.tree import VIDEO_SUFFIXES
from auxface.data.manifest import Manifest
from auxface.data.parallel import in_order
from auxface.data.show import Inspection
from auxface.data.video.frames import UnreadableVideo, stream_frames
from auxface.errors import InputError

_SIDE = 96
_PER_ROW = 10
_MOST_ROWS = 24
_PAIRS = 24
_FILES = 100


@dataclass(frozen=True)
class Thumb:
    """A small image for the page.

    Attributes:
        source: a ``data:`` address; empty where the file cannot be shown.
        about: its path, for those who cannot see it.
    """

    source: str
    about: str


def render_inspection(inspection: Inspection, name: str) -> str:
    """The page as HTML.

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
        copies=_pairs(inspection, inspection.copies),
        files_shown=_FILES,
    )


def _sheet(manifest: Manifest) -> list[tuple[str, list[Thumb]]]:
    """Rows of images: of each class of the first label that has classes, else of each split."""
    table = manifest.table
    named = next((name for name, label in manifest.labels.items() if label.kind in ("class", "binary")), None)
    if named is None:
        parts = [(split, rows) for split, rows in table.groupby("split", sort=False)]
    else:
        label = manifest.labels[named]
        values: list[Any] = [0, 1] if label.kind == "binary" else list(label.classes)
        parts = [(f"{named}: {text}", table[table[named] == value]) for text, value in zip(label.classes, values)]
    sheet = []
    for title, rows in parts[:_MOST_ROWS]:
        chosen = rows.sample(min(_PER_ROW, len(rows)), random_state=0)
        sheet.append((str(title), list(in_order(lambda path: _thumb(manifest.root / path, path), chosen["path"]))))
    return sheet


def _pairs(inspection: Inspection, pairs: pd.DataFrame) -> list[dict[str, Any]]:
    table, root = inspection.manifest.table, inspection.manifest.root
    shown = []
    for first, second, likeness in pairs.head(_PAIRS).itertuples(index=False):
        rows = [table.iloc[int(at)] for at in (first, second)]
        shown.append(
            {
                "likeness": f"{likeness:.3f}",
                "sides": [(_thumb(root / row["path"], row["path"]), row["split"]) for row in rows],
            }
        )
    return shown


def _thumb(path: Path, about: str) -> Thumb:
    try:
        if path.name.lower().endswith(VIDEO_SUFFIXES):
            image = next((frame for _, frame in stream_frames(path)), None)
        else:
            image = read_image(path)
    except (UnreadableImage, UnreadableVideo, InputError):
        image = None
    if image is None:
        return Thumb("", about)
    buffer = io.BytesIO()
    Image.fromarray(fit_square(image, _SIDE)).save(buffer, "JPEG", quality=82)
    return Thumb("data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode(), about)
