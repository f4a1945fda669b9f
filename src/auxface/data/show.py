"""Inspection of a manifest: counts, leaks, near-duplicates and unreadable images, as text, JSON or one HTML page.

Example::

    facts = show_data(Path("faces.parquet"), Path("faces.html")).to_dict()
    facts["leaks"]["pairs"]  # near-duplicate images in different splits

The page is a single HTML file that needs no network access and supports small screens and dark mode.
"""

import base64
import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from auxface.atomic import atomic_file, refuse_existing
from auxface.data.images.cache import load_images
from auxface.data.images.decode import UnreadableImage, fit_square, in_order, read_image
from auxface.data.leaks import SIDE, Leaks, find_leaks, find_near_duplicates, of_different_sources, thumbnail
from auxface.data.manifest import SPLITS, Manifest, read_manifest
from auxface.data.manifest_notes import manifest_notes
from auxface.data.media import is_video, printable
from auxface.data.shards import refuse_shards
from auxface.data.video.decoding import UnreadableVideo
from auxface.data.video.frames import stream_frames
from auxface.errors import InputError
from auxface.evaluation.csv_cells import escape_in_page
from auxface.progress import progress_steps

Progress = Callable[[int, int], None]
_MAX_LISTED = 200
_THUMBNAIL_SIDE = 96
_IMAGES_PER_ROW = 10
_MAX_ROWS = 24
_MAX_PAIRS = 24
_MAX_FILES = 100


@dataclass(frozen=True)
class Counts:
    """The counts of each value of a label or group in each split.

    Attributes:
        name: name of the label or group.
        kind: kind of the label, or ``group``.
        table: integer counts, with one row per value in order (for a multi-label task, one row per attribute, with the
            number of positives) and one column per split of the manifest.
        unknown: number of rows without a value, by split.
    """

    name: str
    kind: str
    table: pd.DataFrame
    unknown: dict[str, int]


@dataclass(frozen=True)
class Inspection:
    """The results of the inspection of a manifest.

    Attributes:
        manifest: inspected manifest.
        splits: number of rows in each split, in the order of the splits.
        sources: number of distinct sources in each split.
        counts: counts of every label and group with countable values.
        videos: number of rows that are videos, which are not opened.
        rejected: table of the images that cannot be read, with the columns path and reason.
        near_duplicates: table of near-duplicate images of different sources, with the columns first, second (row
            indices) and correlation.
        contradicting: number of near-duplicate pairs that differ in a label.
        leaks: sources and near-duplicate images in more than one split.
    """

    manifest: Manifest
    splits: dict[str, int]
    sources: dict[str, int]
    counts: tuple[Counts, ...]
    videos: int
    rejected: pd.DataFrame
    near_duplicates: pd.DataFrame
    contradicting: int
    leaks: Leaks

    def to_dict(self) -> dict[str, Any]:
        """Return the results as plain JSON, with complete counts and at most 200 entries per list of pairs or files."""
        table = self.manifest.table
        counted = {
            count.name: {
                "kind": count.kind,
                "splits": {
                    split: {str(value): int(number) for value, number in column.items()}
                    for split, column in count.table.items()
                },
                "unknown": count.unknown,
            }
            for count in self.counts
        }
        return {
            "rows": len(table),
            "hash": self.manifest.hash,
            "crop": None if self.manifest.crop is None else dict(self.manifest.crop),
            "splits": self.splits,
            "sources": self.sources,
            "notes": manifest_notes(self.manifest),
            "datasets": {str(name): int(number) for name, number in table["dataset"].value_counts().items()},
            "labels": {name: what for name, what in counted.items() if what["kind"] != "group"},
            "groups": {name: what for name, what in counted.items() if what["kind"] == "group"},
            "videos": self.videos,
            "unreadable": {"count": len(self.rejected), "files": self.rejected.head(_MAX_LISTED).to_dict("records")},
            "duplicates": {
                "pairs": len(self.near_duplicates),
                "contradicting": self.contradicting,
                "first": self._pairs(self.near_duplicates),
            },
            "leaks": {
                "sources": len(self.leaks.sources),
                "first_sources": self.leaks.sources.head(_MAX_LISTED).to_dict("records"),
                "pairs": len(self.leaks.images),
                "first": self._pairs(self.leaks.images),
            },
        }

    def _pairs(self, pairs: pd.DataFrame) -> list[dict[str, Any]]:
        table = self.manifest.table
        return [
            {
                "path": str(table["path"].iloc[first]),
                "split": str(table["split"].iloc[first]),
                "other_path": str(table["path"].iloc[second]),
                "other_split": str(table["split"].iloc[second]),
                "correlation": round(float(correlation), 4),
            }
            for first, second, correlation in pairs.head(_MAX_LISTED).itertuples(index=False)
        ]


def show_data(manifest: Path, out: Path | None = None, *, overwrite: bool = False) -> Inspection:
    """Inspect a manifest and optionally write a page about it.

    Every image is opened once. Sources in several splits are reported, not rejected.

    Args:
        manifest: manifest to inspect, ``.parquet`` or ``.csv``.
        out: HTML page to write, or None for no page.
        overwrite: whether to replace ``out`` if it exists.

    Raises:
        InputError: the file is not a manifest or is a manifest of shards, or the output exists.

    Example:
        >>> from pathlib import Path
        >>> import auxface
        >>> inspection = auxface.show_data(Path("faces.parquet"))
        >>> sorted(inspection.splits), len(inspection.leaks.sources)
        (['test', 'train', 'val'], 0)
    """
    if out is not None:
        refuse_existing(out, overwrite)
    opened = read_manifest(manifest, allow_leaks=True)
    refuse_shards(opened, manifest)
    with progress_steps("inspect images", "images") as progress:
        inspection = inspect_manifest(opened, progress)
    if out is not None:
        from auxface.data.show import render_inspection

        with atomic_file(out) as temporary:
            temporary.write_text(render_inspection(inspection, printable(manifest.name)), encoding="utf-8")
    return inspection


def inspect_manifest(manifest: Manifest, progress: Progress | None = None) -> Inspection:
    """Open every image of a manifest once and return the results of the inspection.

    Args:
        manifest: manifest to inspect; read it with ``allow_leaks=True`` if sources may be in several splits.
        progress: function called with (images done, images in total).
    """
    table = manifest.table
    present = [split for split in SPLITS if (table["split"] == split).any()]
    names = [(name, label.kind) for name, label in manifest.labels.items()]
    names += [(name, "group") for name in manifest.groups if name not in manifest.labels]
    counts = tuple(filter(None, (_count_values(manifest, name, kind, present) for name, kind in names)))

    stills = (~table["path"].map(is_video)).to_numpy(bool)
    images = Manifest(table[stills].reset_index(drop=True), {}, root=manifest.root)
    rejected = pd.DataFrame(columns=["path", "reason"])
    pairs = pd.DataFrame({"first": [], "second": [], "correlation": []}).astype({"first": int, "second": int})
    if stills.any():
        loaded = load_images(images, size=SIDE, progress=progress)
        rejected = loaded.rejected
        rows = np.flatnonzero(stills)[loaded.usable]
        if len(rows):
            thumbnails = np.stack([thumbnail(image.transpose(1, 2, 0)) for image in loaded.array])
            pairs = find_near_duplicates(thumbnails)
            pairs[["first", "second"]] = rows[pairs[["first", "second"]].to_numpy()]
    sources = table[["split", "dataset", "source"]].drop_duplicates()["split"].value_counts()
    near_duplicates = of_different_sources(table, pairs)
    return Inspection(
        manifest=manifest,
        splits={split: int((table["split"] == split).sum()) for split in present},
        sources={str(split): int(count) for split, count in sources.items()},
        counts=counts,
        videos=int((~stills).sum()),
        rejected=rejected,
        near_duplicates=near_duplicates,
        contradicting=_contradicting_labels(manifest, near_duplicates),
        leaks=find_leaks(table, pairs),
    )


def _count_values(manifest: Manifest, name: str, kind: str, splits: list[str]) -> Counts | None:
    table = manifest.table
    if kind == "identity":
        return None
    if kind == "multilabel":
        classes = list(manifest.labels[name].classes)
        counted = pd.DataFrame({split: (table.loc[table["split"] == split, classes] == 1).sum() for split in splits})
        unknown = {split: int(table.loc[table["split"] == split, classes].isna().any(axis=1).sum()) for split in splits}
        return Counts(name, kind, counted.astype(int), unknown)
    values = table[name]
    named = manifest.labels[name].classes if name in manifest.labels else ()
    if kind == "ordinal":
        values, named = _round_ranges(values)
    order: list[Any] = list(named) or sorted(values.dropna().unique(), key=_natural_order)
    if kind == "binary":
        negative, positive = order
        values = values.map({0: negative, 1: positive})
    counted = pd.crosstab(values, table["split"]).reindex(index=order, columns=splits, fill_value=0)
    unknown = {split: int(values[table["split"] == split].isna().sum()) for split in splits}
    return Counts(name, kind, counted.astype(int), unknown)


def _natural_order(value: object) -> list[str | int]:
    """Return a sort key that places 3-9 before 10-19."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", str(value))]


def _round_ranges(values: pd.Series) -> tuple[pd.Series, tuple[str, ...]]:
    """Return the range name of each number, and the names of all ranges (at most sixteen) in order."""
    known = values.dropna().astype(float)
    if known.empty:
        return values, ()
    spread, finest = float(known.max() - known.min()), 0 if (known % 1 == 0).all() else -2
    width = next(step for power in range(finest, 40) for step in (10.0**power, 5 * 10.0**power) if spread / step < 15)
    lowest = (known / width).apply(np.floor)
    steps = range(int(lowest.min()), int(lowest.max()) + 1)
    named = {step: f"{step * width:g} to under {(step + 1) * width:g}" for step in steps}
    return lowest.astype(int).map(named).reindex(values.index), tuple(named.values())


def _contradicting_labels(manifest: Manifest, pairs: pd.DataFrame) -> int:
    """Return the number of pairs that differ in a class or binary label."""
    differ = np.zeros(len(pairs), bool)
    for name, label in manifest.labels.items():
        if label.kind in ("class", "binary"):
            values = manifest.table[name]
            first, second = (values.iloc[pairs[side]].reset_index(drop=True) for side in ("first", "second"))
            differ |= ((first != second) & first.notna() & second.notna()).fillna(False).to_numpy(bool)
    return int(differ.sum())


@dataclass(frozen=True)
class Thumb:
    """A thumbnail on the page.

    Attributes:
        source: image as a ``data:`` URL; empty if the file cannot be read.
        alt: alternative text, the path of the file.
    """

    source: str
    alt: str


def render_inspection(inspection: Inspection, name: str) -> str:
    """Return an inspection as an HTML page.

    Args:
        inspection: results of the inspection.
        name: name of the manifest, for the title.
    """
    from jinja2 import Environment, PackageLoader

    environment = Environment(
        loader=PackageLoader("auxface.data"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=escape_in_page,
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
    """Return rows of thumbnails, one per class of the first label with classes, or one per split if there is none."""
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
        chosen = rows.sample(min(_IMAGES_PER_ROW, len(rows)), random_state=0)
        sheet.append((str(title), list(in_order(lambda path: _thumb(manifest.root / path, path), chosen["path"]))))
    return sheet


def _pairs(inspection: Inspection, pairs: pd.DataFrame) -> list[dict[str, Any]]:
    table, root = inspection.manifest.table, inspection.manifest.root
    shown = []
    for first, second, correlation in pairs.head(_MAX_PAIRS).itertuples(index=False):
        rows = [table.iloc[int(at)] for at in (first, second)]
        shown.append(
            {
                "correlation": f"{correlation:.3f}",
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
    Image.fromarray(fit_square(image, _THUMBNAIL_SIDE)).save(buffer, "JPEG", quality=82)
    return Thumb("data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode(), alt)
