"""Notes on a manifest: classes without rows, names that differ only in spaces or letter case, and repeated rows.

``prepare``, ``data show`` and ``train --check`` print them. The rows are used unchanged.

Example::

    for note in manifest_notes(read_manifest(Path("faces.parquet"))):
        print(note)
"""

import itertools
from collections.abc import Iterable, Iterator

import pandas as pd

from auxface.data.manifest import Label, Manifest

_MAX_NAMED = 10


def manifest_notes(manifest: Manifest) -> list[str]:
    """Return the notes on a manifest, each as one sentence.

    Args:
        manifest: manifest; a split without rows causes no note.

    Example:
        >>> import pandas as pd
        >>> table = pd.DataFrame({"path": ["1.png", "2.png"], "split": ["train", "val"], "mood": ["glad", "sad"]})
        >>> manifest_notes(Manifest(table, {"mood": Label("class", ("glad", "sad"))}))
        ['mood: no row of split train has sad', 'mood: no row of split val has glad']
    """
    return [*class_notes(manifest), *repeated_row_notes(manifest)]


def class_notes(manifest: Manifest) -> Iterator[str]:
    """Yield notes on classes without a training or validation row, and on names that differ only in spaces or case."""
    for name, label in manifest.labels.items():
        for split in ("train", "val"):
            rows = manifest.table[manifest.table["split"] == split]
            absent = [value for value, count in _class_counts(rows, name, label) if not count]
            if len(rows) and absent:
                yield f"{name}: no row of split {split} has {_listed(absent)}"
        yield from _similar_names(name, label.classes)
    for name in manifest.groups:
        if name not in manifest.labels:
            yield from _similar_names(name, map(str, manifest.table[name].dropna().unique()))


def repeated_row_notes(manifest: Manifest) -> Iterator[str]:
    """Yield a note if rows repeat the path, split, labels and groups of an earlier row."""
    labels = [column for name, label in manifest.labels.items() for column in label.columns(name)]
    columns = list(dict.fromkeys(["path", "split", *labels, *manifest.groups]))
    repeated = manifest.table[columns].duplicated()
    if repeated.any():
        row = int(repeated.to_numpy().argmax())
        count = int(repeated.sum())
        rows = "row repeats" if count == 1 else "rows repeat"
        yield (
            f"{count} {rows} the path, split, labels and groups of an earlier row; the first is row {row + 1} "
            f"({manifest.table['path'].iloc[row]})"
        )


def _class_counts(rows: pd.DataFrame, name: str, label: Label) -> Iterator[tuple[str, int]]:
    """Yield each class with its number of rows; for a multi-label task, each attribute with its number of positives."""
    if label.kind == "multilabel":
        for attribute in label.classes:
            yield attribute, int((rows[attribute] == 1).sum())
    elif label.kind in ("class", "binary"):
        values = range(len(label.classes)) if label.kind == "binary" else label.classes
        counts = rows[name].value_counts()
        for shown, value in zip(label.classes, values, strict=True):
            yield shown, int(counts.get(value, 0))


def _similar_names(name: str, values: Iterable[str]) -> Iterator[str]:
    def key(value: str) -> str:
        return " ".join(value.split()).casefold()

    for value, other in itertools.pairwise(sorted(values, key=lambda value: (key(value), value))):
        if key(value) == key(other):
            yield f"{name}: '{value}' and '{other}' differ only in spaces or letter case"


def _listed(values: list[str]) -> str:
    more = len(values) - _MAX_NAMED
    return ", ".join(values[:_MAX_NAMED]) + (f" and {more} other classes" if more > 0 else "")
