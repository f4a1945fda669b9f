"""Layout ``fairface``: FairFace (Kärkkäinen and Joo, 2021): gender, race and age, balanced over seven race groups.

No test labels were released, and publications report on the official validation set. That set is the test split here;
the validation split is taken from the official training set.
"""

from pathlib import Path

import pandas as pd

from auxface.data.layouts.registry import Layout, Listing, Option, read_rows, require_file, require_folder
from auxface.data.manifest import Label
from auxface.data.splits import split_validation
from auxface.errors import InputError

LEVELS: dict[str, tuple[str, ...]] = {
    "gender": ("Male", "Female"),
    "race": ("White", "Black", "Latino_Hispanic", "East Asian", "Southeast Asian", "Indian", "Middle Eastern"),
    "age": ("0-2", "3-9", "10-19", "20-29", "30-39", "40-49", "50-59", "60-69", "more than 70"),
}


def read(root: Path, *, val_fraction: float = 0.05) -> Listing:
    """Read the two label files and the folders ``train`` and ``val``."""
    rows = []
    for part, split in (("train", "train"), ("val", "test")):
        names = (f"fairface_label_{part}.csv", f"labels/fairface_label_{part}.csv")
        path = require_file(root, names, "fairface")
        images = require_folder(
            root, (part, *(f"fairface-img-margin{m}-trainval/{part}" for m in ("025", "125"))), "fairface"
        )
        for number, row in enumerate(read_rows(path, ("file", *LEVELS))):
            for column, levels in LEVELS.items():
                if row[column] not in levels:
                    # Spreadsheet programs turn 3-9 into a date.
                    raise InputError(
                        f"{path}: row {number + 1} has {column} '{row[column]}'; expected {', '.join(levels)}"
                    )
            values = {column: row[column] for column in LEVELS}
            rows.append({"path": str(images.parent / row["file"]), "split": split, "source": row["file"]} | values)
    table = (
        pd.DataFrame(rows).rename(columns={"age": "age_group"}).assign(dataset="fairface", video="", method="", frame=0)
    )
    table["split"] = split_validation(table["split"], table["source"], val_fraction)
    labels = {name.replace("age", "age_group"): Label("class", levels) for name, levels in LEVELS.items()}
    return Listing(table, labels, tuple(labels), boundary=root)


layout = Layout(
    "fairface",
    "FairFace: gender, race (7) and age group (9); official validation is the test split",
    read,
    (Option("val_fraction", float, 0.05, "fraction of the training sources that becomes validation"),),
)
