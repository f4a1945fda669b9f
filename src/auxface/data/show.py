"""What a manifest holds, counted: splits, classes, groups, copies, leaks, and what cannot be read.

``auxface data``: look at a manifest, or turn it into shards that stream.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from auxface.atomic import atomic_file, refuse_existing
from auxface.data.copies import SIDE, find_copies, look
from auxface.data.images.cache import load_images
from auxface.data.layouts.tree import VIDEO_SUFFIXES
from auxface.data.leaks import Leaks, different_sources, find_leaks
from auxface.data.manifest import SPLITS, Manifest, read_manifest
from auxface.data.shards import Sharded, is_sharded, write_shards
from auxface.errors import InputError
from auxface.progress import progress_steps

Progress = Callable[[int, int], None]
_LISTED = 200


@dataclass(frozen=True)
class Counts:
    """How often each value of a label or group occurs in each split.

    Attributes:
        name: of the label or group.
        kind: the label's kind, or ``group``.
        table: int; index: values in order (of a multi-label one its attributes, whose positives are counted); columns:
            the splits that the manifest has.
        unknown: rows without a value, per split.
    """

    name: str
    kind: str
    table: pd.DataFrame
    unknown: dict[str, int]


@dataclass(frozen=True)
class Inspection:
    """The facts about a manifest.

    Attributes:
        manifest: what was inspected.
        splits: rows per split, in order.
        sources: different sources per split.
        counts: of every label and group that has values to count.
        videos: rows that are videos, which are not opened.
        rejected: columns path, reason: images that cannot be read.
        copies: pairs of rows of different sources that look the same: first, second, likeness.
        contradicting: how many of those pairs differ in a label.
        leaks: sources and images in more than one split.
    """

    manifest: Manifest
    splits: dict[str, int]
    sources: dict[str, int]
    counts: tuple[Counts, ...]
    videos: int
    rejected: pd.DataFrame
    copies: pd.DataFrame
    contradicting: int
    leaks: Leaks

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON; lists of pairs and files are cut to 200, their counts are not."""
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
            "datasets": {str(name): int(number) for name, number in table["dataset"].value_counts().items()},
            "labels": {name: what for name, what in counted.items() if what["kind"] != "group"},
            "groups": {name: what for name, what in counted.items() if what["kind"] == "group"},
            "videos": self.videos,
            "unreadable": {"count": len(self.rejected), "files": self.rejected.head(_LISTED).to_dict("records")},
            "duplicates": {
                "pairs": len(self.copies),
                "contradicting": self.contradicting,
                "first": self._pairs(self.copies),
            },
            "leaks": {
                "sources": len(self.leaks.sources),
                "first_sources": self.leaks.sources.head(_LISTED).to_dict("records"),
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
                "likeness": round(float(likeness), 4),
            }
            for first, second, likeness in pairs.head(_LISTED).itertuples(index=False)
        ]


def inspect_manifest(manifest: Manifest, progress: Progress | None = None) -> Inspection:
    """Open every image of a manifest once and count.

    Args:
        manifest: whose sources may lie in several splits.
        progress: called with (images done, images in all).
    """
    table = manifest.table
    present = [split for split in SPLITS if (table["split"] == split).any()]
    names = [(name, label.kind) for name, label in manifest.labels.items()]
    names += [(name, "group") for name in manifest.groups if name not in manifest.labels]
    counts = tuple(filter(None, (_count(manifest, name, kind, present) for name, kind in names)))

    stills = (~table["path"].str.lower().str.endswith(VIDEO_SUFFIXES)).to_numpy()
    images = Manifest(table[stills].reset_index(drop=True), {}, root=manifest.root)
    rejected = pd.DataFrame(columns=["path", "reason"])
    copies = pd.DataFrame({"first": [], "second": [], "likeness": []}).astype({"first": int, "second": int})
    if stills.any():
        loaded = load_images(images, size=SIDE, progress=progress)
        rejected = loaded.rejected
        rows = np.flatnonzero(stills)[loaded.usable]
        if len(rows):
            looks = np.stack([look(image.transpose(1, 2, 0)) for image in loaded.array])
            copies = find_copies(looks)
            copies[["first", "second"]] = rows[copies[["first", "second"]].to_numpy()]
    sources = table[["split", "dataset", "source"]].drop_duplicates()["split"].value_counts()
    leaks = find_leaks(table, copies)
    apart = different_sources(table, copies)
    return Inspection(
        manifest=manifest,
        splits={split: int((table["split"] == split).sum()) for split in present},
        sources={str(split): int(count) for split, count in sources.items()},
        counts=counts,
        videos=int((~stills).sum()),
        rejected=rejected,
        copies=apart,
        contradicting=_contradicting(manifest, apart),
        leaks=leaks,
    )


def _count(manifest: Manifest, name: str, kind: str, splits: list[str]) -> Counts | None:
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
        values, named = _in_ranges(values)
    order: list[Any] = list(named) or sorted(values.dropna().unique(), key=str)
    if kind == "binary":
        negative, positive = order
        values = values.map({0: negative, 1: positive})
    counted = pd.crosstab(values, table["split"]).reindex(index=order, columns=splits, fill_value=0)
    unknown = {split: int(values[table["split"] == split].isna().sum()) for split in splits}
    return Counts(name, kind, counted.astype(int), unknown)


def _in_ranges(values: pd.Series) -> tuple[pd.Series, tuple[str, ...]]:
    """Numbers as the name of one of at most sixteen ranges of a round width, and the names in order."""
    known = values.dropna().astype(float)
    if known.empty:
        return values, ()
    spread, finest = float(known.max() - known.min()), 0 if (known % 1 == 0).all() else -2
    width = next(step for power in range(finest, 40) for step in (10.0**power, 5 * 10.0**power) if spread / step < 15)
    lowest = (known / width).apply(np.floor)
    steps = range(int(lowest.min()), int(lowest.max()) + 1)
    named = {step: f"{step * width:g} to under {(step + 1) * width:g}" for step in steps}
    return lowest.astype(int).map(named).reindex(values.index), tuple(named.values())


def _contradicting(manifest: Manifest, pairs: pd.DataFrame) -> int:
    """Pairs that look the same and differ in a class or binary label."""
    differ = np.zeros(len(pairs), bool)
    for name, label in manifest.labels.items():
        if label.kind in ("class", "binary"):
            values = manifest.table[name]
            first, second = (values.iloc[pairs[side]].reset_index(drop=True) for side in ("first", "second"))
            differ |= ((first != second) & first.notna() & second.notna()).fillna(False).to_numpy(bool)
    return int(differ.sum())


def show_data(manifest: Path, out: Path | None = None, *, overwrite: bool = False) -> Inspection:
    """Count what a manifest holds, look for leaks and copies, and write a page about it.

    A manifest whose sources lie in several splits is shown too, since that is what one looks for.

    Args:
        manifest: ``.parquet`` or ``.csv``.
        out: the page to write; None: none.
        overwrite: replace ``out`` if it exists.

    Raises:
        InputError: not a manifest, or an output that exists.
    """
    if out is not None:
        refuse_existing(out, overwrite)
    opened = read_manifest(manifest, spread_sources="keep")
    _refuse_shards(opened, manifest)
    with progress_steps("look at images", "images") as progress:
        inspection = inspect_manifest(opened, progress)
    if out is not None:
        from auxface.data.show_page import render_inspection

        with atomic_file(out) as beside:
            beside.write_text(render_inspection(inspection, manifest.name), encoding="utf-8")
    return inspection


def shard_data(manifest: Path, out: Path, *, samples: int = 1000, seed: int = 0, overwrite: bool = False) -> Sharded:
    """Write a manifest's images as webdataset shards; a run that was stopped goes on where it was.

    Args:
        manifest: ``.parquet`` or ``.csv``.
        out: the folder to make.
        samples: images in a shard.
        seed: of the order in which images go into shards.
        overwrite: replace shards of another manifest or other settings.

    Raises:
        InputError: not a manifest, no usable image, or a folder that holds something else.
    """
    opened = read_manifest(manifest)
    _refuse_shards(opened, manifest)
    with progress_steps("write shards", "images") as progress:
        return write_shards(
            opened, out, samples=samples, seed=seed, overwrite=overwrite, inputs=[manifest], progress=progress
        )


def _refuse_shards(opened: Manifest, given: Path) -> None:
    if is_sharded(opened):
        raise InputError(f"{given}: its images are in shards; give the manifest that they were made of")
