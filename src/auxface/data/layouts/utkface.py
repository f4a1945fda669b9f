"""Layout ``utkface``: UTKFace (Zhang, Song and Qi, 2017): age, gender and race from the file name."""

import re
from pathlib import Path

import pandas as pd

from auxface.data.layouts.registry import Excluded, Layout, Listing, Option, list_files, require_root
from auxface.data.manifest import Label
from auxface.data.splits import DEFAULT, parse_fractions, split_by_source
from auxface.errors import InputError

GENDERS: tuple[str, ...] = ("Male", "Female")
RACES: tuple[str, ...] = ("White", "Black", "Asian", "Indian", "Others")
AGE_GROUPS: tuple[str, ...] = ("0-2", "3-9", "10-19", "20-29", "30-39", "40-49", "50-59", "60-69", "70+")
# One of the published file names lacks the dot before "jpg".
_NAME = re.compile(r"(\d{1,3})_([01])_([0-4])_(\d+)\s*\.?jpg(\.chip)?(\.jpg)*", re.IGNORECASE)


def read(root: Path, *, split_fractions: str = DEFAULT) -> Listing:
    """Read every image below ``root``: one folder, or the three parts of the original images."""
    require_root(root, "utkface")
    rows, excluded = [], []
    for path in list_files(root, (".jpg",)):
        found = _NAME.fullmatch(path.name)
        if found is None:
            reason = "its name is not age_gender_race_date.jpg, so it has no labels"
            excluded.append(Excluded(str(path), "unreadable", reason))
            continue
        age = int(found[1])
        rows.append(
            {
                "path": str(path),
                "source": "_".join(found.group(1, 2, 3, 4)),
                "age": age,
                "age_group": age_group(age),
                "gender": GENDERS[int(found[2])],
                "race": RACES[int(found[3])],
            }
        )
    if not rows:
        raise InputError(f"{root}: no image has a UTKFace name such as 25_1_2_20170116174525125.jpg")
    table = pd.DataFrame(rows).assign(dataset="utkface", video="", method="")
    table["split"] = split_by_source(table["source"], parse_fractions(split_fractions))
    table["frame"] = table.groupby("source").cumcount()
    labels = {
        "gender": Label("class", GENDERS),
        "race": Label("class", RACES),
        "age_group": Label("class", AGE_GROUPS),
        "age": Label("ordinal"),
    }
    return Listing(table, labels, ("gender", "race", "age_group"), tuple(excluded), boundary=root)


def age_group(age: int) -> str:
    """Return the bin of an age in years, with FairFace's bounds."""
    if age < 10:
        return "0-2" if age < 3 else "3-9"
    return "70+" if age >= 70 else f"{age // 10 * 10}-{age // 10 * 10 + 9}"


layout = Layout(
    "utkface",
    "UTKFace: gender, race, age and age group from the file names; no official split",
    read,
    (Option("split_fractions", str, DEFAULT, "train,val,test"),),
)
