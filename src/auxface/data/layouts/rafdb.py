"""Layout ``rafdb``: Real-world Affective Faces, basic set (Li, Deng and Du, 2017): 7 emotions."""

from pathlib import Path

import pandas as pd

from auxface.data.layouts.registry import Layout, Listing, Option, read_lines, require_file, require_folder
from auxface.data.manifest import Label
from auxface.data.splits import split_validation
from auxface.errors import InputError

CLASSES: tuple[str, ...] = ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")
_GROUPS = {
    "gender": ("Male", "Female", "Unsure"),
    "race": ("Caucasian", "African-American", "Asian"),
    "age_group": ("0-3", "4-19", "20-39", "40-69", "70+"),
}


def read(root: Path, *, images: str = "aligned", val_fraction: float = 0.1) -> Listing:
    """Read the folder ``basic`` or its parent; groups are read if ``Annotation/manual`` exists."""
    base = root / "basic" if (root / "basic").is_dir() else root
    labels = require_file(base, ("EmoLabel/list_patition_label.txt", "list_patition_label.txt"), "rafdb")
    folder = require_folder(base, (f"Image/{images}",), "rafdb")
    rows = []
    for line in read_lines(labels):
        parts = line.split()
        if len(parts) != 2 or parts[1] not in "1234567" or not parts[0].startswith(("train_", "test_")):
            raise InputError(
                f"{labels}: line '{line}' must have a name such as train_00001.jpg and a label from 1 to 7"
            )
        stem = Path(parts[0]).stem
        name = f"{stem}_aligned.jpg" if images == "aligned" else parts[0]
        rows.append(
            {
                "path": str(folder / name),
                "split": stem.split("_")[0],
                "source": stem,
                "emotion": CLASSES[int(parts[1]) - 1],
            }
        )
    table = pd.DataFrame(rows).assign(dataset="rafdb", video="", method="", frame=0)
    table["split"] = split_validation(table["split"], table["source"], val_fraction)
    manual = base / "Annotation" / "manual"
    groups: tuple[str, ...] = ()
    if manual.is_dir():
        groups = tuple(_GROUPS)
        people = [_person(manual / f"{source}_manu_attri.txt") for source in table["source"]]
        for at, group in enumerate(groups):
            table[group] = [person[at] for person in people]
    return Listing(table, {"emotion": Label("class", CLASSES)}, groups, boundary=root)


def _person(path: Path) -> tuple[str, ...]:
    lines = read_lines(path)[-3:]
    try:
        return tuple(levels[int(line)] for levels, line in zip(_GROUPS.values(), lines, strict=True))
    except (ValueError, IndexError):
        raise InputError(f"{path}: the last three lines must be numbers for gender, race and age") from None


layout = Layout(
    "rafdb",
    "RAF-DB basic: 7 emotions; groups gender, race and age group if annotated",
    read,
    (
        Option("images", str, "aligned", "which version of the images", ("aligned", "original")),
        Option("val_fraction", float, 0.1, "fraction of the training sources that becomes validation"),
    ),
)
