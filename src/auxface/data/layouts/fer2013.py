"""Layout ``fer2013``: Facial Expression Recognition 2013 (Goodfellow et al., 2013), with original or FER+ labels."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from auxface.atomic import atomic_file
from auxface.data.layouts.registry import (
    Excluded,
    Layout,
    Listing,
    Option,
    list_files,
    read_rows,
    require_file,
    require_folder,
)
from auxface.data.manifest import Label
from auxface.errors import InputError

CLASSES: tuple[str, ...] = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
PLUS_CLASSES: tuple[str, ...] = (
    "neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt",
)  # fmt: skip
_SPLITS = {"Training": "train", "PublicTest": "val", "PrivateTest": "test"}
_FOLDERS = {"train": "train", "validation": "val", "val": "val", "test": "test"}
_SIDE = 48
_CSV_FILES = ("fer2013.csv", "icml_face_data.csv", "fer2013/fer2013.csv")
_FERPLUS_FILES = ("fer2013new.csv", "ferplus/fer2013new.csv")


def read(root: Path, *, labels: str = "fer", images: str | None = None) -> Listing:
    """Read FER2013 from ``fer2013.csv``, writing its images as PNG files, or from folders such as ``train/angry``."""
    if labels == "fer" and not any((root / name).is_file() for name in _CSV_FILES) and (root / "train").is_dir():
        return _folders(root)
    source = require_file(root, _CSV_FILES, "fer2013")
    plus = (
        read_rows(require_file(root, _FERPLUS_FILES, "fer2013"), ("Usage", *PLUS_CLASSES))
        if labels == "ferplus"
        else None
    )
    folder = Path(images) if images else root / "images"
    rows = read_rows(source, ("emotion", "pixels", "Usage"))
    if plus is not None and len(plus) != len(rows):
        raise InputError(
            f"{root}: {source.name} has {len(rows)} rows, but fer2013new.csv has {len(plus)}; expected equal numbers "
            "of rows"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{folder}: the folder cannot be created ({error.strerror}); name another folder with --images"
        ) from None

    kept, excluded = [], []
    for number, row in enumerate(rows):
        path = folder / f"fer{number:07d}.png"
        if row["Usage"] not in _SPLITS:
            raise InputError(f"{source}: row {number + 1} has Usage '{row['Usage']}'; expected {', '.join(_SPLITS)}")
        emotion = _emotion(row["emotion"], source, number) if plus is None else majority(plus[number])
        pixels = _pixels(row["pixels"])
        if emotion is None or pixels is None:
            reason = "FER+ has no majority emotion" if pixels is not None else f"its pixels are not {_SIDE}x{_SIDE}"
            excluded.append(Excluded(str(path), "unreadable", reason))
            continue
        if not path.exists():
            with atomic_file(path) as beside:
                Image.fromarray(pixels).save(beside)
        kept.append({"path": str(path), "split": _SPLITS[row["Usage"]], "source": path.stem, "emotion": emotion})
    if not kept:
        raise InputError(f"{source}: no row can be used ({excluded[0].reason})")
    classes = CLASSES if plus is None else PLUS_CLASSES
    table = pd.DataFrame(kept).assign(dataset="fer2013", video="", method="", frame=0)
    return Listing(table, {"emotion": Label("class", classes)}, excluded=tuple(excluded))


def majority(votes: dict[str, str]) -> str | None:
    """Return the emotion with more than half of the votes, or None (majority voting of FER+: Barsoum et al., 2016).

    Single votes are removed as outliers. A majority for "unknown" or "not a face" gives None.
    """
    names = (*PLUS_CLASSES, "unknown", "NF")
    counts = np.array([int(votes.get(name) or 0) for name in names])
    counts[counts <= 1] = 0
    best = int(counts.argmax())
    return names[best] if best < len(PLUS_CLASSES) and 2 * counts[best] > counts.sum() else None


def _folders(root: Path) -> Listing:
    require_folder(root, ("test",), "fer2013")
    rows = []
    for name, split in _FOLDERS.items():
        if not (root / name).is_dir():
            continue
        for emotion in CLASSES:
            folder = require_folder(root, (f"{name}/{emotion}",), "fer2013")
            for path in list_files(folder):
                # One published copy has both official test sets in one folder; the file names distinguish them.
                usage = re.match(r"(Training|PublicTest|PrivateTest)_", path.name)
                chosen = _SPLITS[usage[1]] if usage else split
                rows.append({"path": str(path), "split": chosen, "source": path.stem, "emotion": emotion})
    if not rows:
        raise InputError(f"{root}: no images in folders such as train/angry")
    table = pd.DataFrame(rows).assign(dataset="fer2013", video="", method="")
    table["source"] = table["split"] + "/" + table["emotion"] + "/" + table["source"]
    table["frame"] = table.groupby("source").cumcount()
    return Listing(table, {"emotion": Label("class", CLASSES)}, boundary=root)


def _emotion(text: str, source: Path, number: int) -> str:
    if not (text.isdigit() and int(text) < len(CLASSES)):
        raise InputError(f"{source}: row {number + 1} has emotion '{text}'; expected a number from 0 to 6")
    return CLASSES[int(text)]


def _pixels(text: str) -> np.ndarray | None:
    values = text.split()
    if len(values) != _SIDE * _SIDE or not all(value.isdigit() and int(value) < 256 for value in values):
        return None
    return np.array(values, np.uint8).reshape(_SIDE, _SIDE)


layout = Layout(
    "fer2013",
    "FER2013: 7 emotions (or the 8 of FER+), official usage as the split",
    read,
    (
        Option(
            "labels",
            str,
            "fer",
            "fer: original labels; ferplus: majority vote in fer2013new.csv",
            ("fer", "ferplus"),
        ),
        Option("images", str, None, "folder for the images of fer2013.csv as PNG files; default: ROOT/images"),
    ),
)
