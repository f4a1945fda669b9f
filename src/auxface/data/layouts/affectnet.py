"""Layout ``affectnet``: AffectNet, manually annotated part (Mollahosseini et al., 2017), in both published forms.

No test set was released, and publications report on the official validation set. That set is the test split here; the
validation split is taken from the official training set.
"""

from pathlib import Path

import numpy as np
import pandas as pd

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
from auxface.data.parallel import in_order
from auxface.data.splits import split_validation
from auxface.errors import InputError

CLASSES: tuple[str, ...] = ("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger", "contempt")
_COLUMNS = ("subDirectory_filePath", "expression", "valence", "arousal")


def read(root: Path, *, classes: str = "8", val_fraction: float = 0.05) -> Listing:
    """Read the first form (file lists and numbered folders) or the form of 2021 (``train_set``, ``val_set``)."""
    names = CLASSES[: int(classes)]
    rows = _arrays(root) if (root / "train_set").is_dir() else _lists(root)
    # Rows without one of the chosen emotions (none, uncertain, no face; with seven classes contempt) are not listed.
    table = pd.DataFrame([row for row in rows if "expression" in row and row["expression"] < len(names)])
    excluded = tuple(
        Excluded(str(row["path"]), "unreadable", "its annotation is missing or corrupt")
        for row in rows
        if "expression" not in row
    )
    if table.empty:
        raise InputError(f"{root}: there are no images with an expression from 0 to {len(names) - 1}")
    table["emotion"] = [names[value] for value in table["expression"]]
    table = table.drop(columns="expression").assign(dataset="affectnet", video="", method="")
    table["frame"] = table.groupby("source").cumcount()
    table["split"] = split_validation(table["split"], table["source"], val_fraction)
    labels = {"emotion": Label("class", names), "valence": Label("ordinal"), "arousal": Label("ordinal")}
    return Listing(table, labels, excluded=excluded, boundary=root)


def _lists(root: Path) -> list[dict]:
    images = require_folder(
        root, ("Manually_Annotated_Images", "Manually_Annotated/Manually_Annotated_Images"), "affectnet"
    )
    rows = []
    for file, split in (("training.csv", "train"), ("validation.csv", "test")):
        names = [f"{folder}{file}" for folder in ("", "Manually_Annotated_file_lists/", "Manually_Annotated/")]
        path = require_file(root, names, "affectnet")
        for number, row in enumerate(read_rows(path, _COLUMNS)):
            name = row["subDirectory_filePath"]
            try:
                values = {"expression": int(row["expression"])} | {key: float(row[key]) for key in _COLUMNS[2:]}
            except ValueError:
                raise InputError(
                    f"{path}: row {number + 1} needs numbers for expression, valence and arousal"
                ) from None
            rows.append({"path": str(images / name), "split": split, "source": name} | values)
    return rows


def _arrays(root: Path) -> list[dict]:
    rows = []
    for name, split in (("train_set", "train"), ("val_set", "test")):
        images = require_folder(root, (f"{name}/images",), "affectnet")
        annotations = require_folder(root, (f"{name}/annotations",), "affectnet")

        def read_row(path: Path, annotations: Path = annotations, name: str = name, split: str = split) -> dict:
            row: dict = {"path": str(path), "split": split, "source": f"{name}/{path.stem}"}
            try:
                values = [
                    float(np.load(annotations / f"{path.stem}_{what}.npy", allow_pickle=False).item())
                    for what in ("exp", "val", "aro")
                ]
            except (OSError, ValueError, EOFError):
                return row
            return row | {"expression": int(values[0]), "valence": values[1], "arousal": values[2]}

        rows += in_order(read_row, list_files(images, (".jpg", ".jpeg", ".png")))
    return rows


layout = Layout(
    "affectnet",
    "AffectNet (manual): 7 or 8 emotions, valence and arousal; official validation is the test split",
    read,
    (
        Option("classes", str, "8", "8, or 7 without contempt", ("7", "8")),
        Option("val_fraction", float, 0.05, "fraction of the training sources that becomes validation"),
    ),
)
