"""Layouts of face data sets with attributes, age, gender, race or identity: CelebA, FairFace, LFW and UTKFace.

Layout ``celeba``: CelebFaces Attributes (Liu et al., 2015), with 40 attributes, identities and the official partition.

Layout ``fairface``: FairFace (Kärkkäinen and Joo, 2021), with gender, race and age, balanced over seven race groups.

No test labels were released, and publications report results on the official validation set. That set is the test split
here; the validation split is taken from the official training set.

Layout ``lfw``: Labeled Faces in the Wild (Huang et al., 2007), with identities and the 6,000 pairs of View 2.

Layout ``utkface``: UTKFace (Zhang, Song and Qi, 2017), with age, gender and race from the file name.
"""

import re
from pathlib import Path

import numpy as np
import pandas as pd

from auxface.data.layouts.registry import (
    Excluded,
    Layout,
    Listing,
    Option,
    list_files,
    read_lines,
    read_rows,
    require_file,
    require_folder,
    require_root,
)
from auxface.data.manifest import Label
from auxface.data.splits import DEFAULT, parse_fractions, split_by_source, split_validation
from auxface.errors import InputError

ATTRIBUTES: tuple[str, ...] = (
    "5_o_Clock_Shadow", "Arched_Eyebrows", "Attractive", "Bags_Under_Eyes", "Bald", "Bangs", "Big_Lips", "Big_Nose",
    "Black_Hair", "Blond_Hair", "Blurry", "Brown_Hair", "Bushy_Eyebrows", "Chubby", "Double_Chin", "Eyeglasses",
    "Goatee", "Gray_Hair", "Heavy_Makeup", "High_Cheekbones", "Male", "Mouth_Slightly_Open", "Mustache", "Narrow_Eyes",
    "No_Beard", "Oval_Face", "Pale_Skin", "Pointy_Nose", "Receding_Hairline", "Rosy_Cheeks", "Sideburns", "Smiling",
    "Straight_Hair", "Wavy_Hair", "Wearing_Earrings", "Wearing_Hat", "Wearing_Lipstick", "Wearing_Necklace",
    "Wearing_Necktie", "Young",
)  # fmt: skip
_CELEBA_FOLDERS = {
    "aligned": ("img_align_celeba", "Img/img_align_celeba", "img_align_celeba/img_align_celeba"),
    "aligned_png": ("img_align_celeba_png", "Img/img_align_celeba_png"),
    "wild": ("img_celeba", "Img/img_celeba"),
}
_CELEBA_SPLITS = {"0": "train", "1": "val", "2": "test"}


def read_celeba(root: Path, *, images: str = "aligned") -> Listing:
    """Read CelebA from the folder ``root``, whose folder tree is shown in docs/data.md."""
    folder = require_folder(root, _CELEBA_FOLDERS[images], "celeba")
    partition = _celeba_pairs(require_file(root, ("list_eval_partition.txt", "Eval/list_eval_partition.txt"), "celeba"))
    identity = _celeba_pairs(require_file(root, ("identity_CelebA.txt", "Anno/identity_CelebA.txt"), "celeba"))
    attributes = _celeba_attributes(require_file(root, ("list_attr_celeba.txt", "Anno/list_attr_celeba.txt"), "celeba"))

    table = attributes.join(partition.rename("split")).join(identity.rename("identity"))
    for column, file in (("split", "list_eval_partition.txt"), ("identity", "identity_CelebA.txt")):
        if table[column].isna().any():
            raise InputError(f"{root}: {file} has no line for {table.index[table[column].isna()][0]}")
    wrong = table.loc[~table["split"].isin(list(_CELEBA_SPLITS)), "split"]
    if len(wrong):
        raise InputError(
            f"{root}: list_eval_partition.txt has partition '{wrong.iloc[0]}' for {wrong.index[0]}; expected 0, 1 or 2"
        )
    suffix = ".png" if images == "aligned_png" else ".jpg"
    table["path"] = [str(folder / Path(name).with_suffix(suffix).name) for name in table.index]
    table["split"] = table["split"].map(_CELEBA_SPLITS)
    table["dataset"], table["video"], table["method"] = "celeba", "", ""
    table["source"] = table["identity"]
    table["frame"] = [int(Path(name).stem) for name in table.index]
    table["gender"] = np.where(table["Male"] == 1, "Male", "Female")
    table["age_group"] = np.where(table["Young"] == 1, "Young", "Not young")
    return Listing(
        table.reset_index(drop=True),
        {"attributes": Label("multilabel", ATTRIBUTES), "identity": Label("identity")},
        ("gender", "age_group"),
        boundary=root,
    )


def _celeba_pairs(path: Path) -> pd.Series:
    parts = [line.split() for line in read_lines(path)]
    if any(len(part) != 2 for part in parts):
        raise InputError(f"{path}: every line must have a file name and a number")
    return pd.Series([part[1] for part in parts], index=[part[0] for part in parts])


def _celeba_attributes(path: Path) -> pd.DataFrame:
    lines = read_lines(path)
    if len(lines) < 3 or tuple(lines[1].split()) != ATTRIBUTES:
        raise InputError(f"{path}: line 2 must name the 40 attributes in their official order")
    rows = [line.split() for line in lines[2:]]
    if str(len(rows)) != lines[0].strip():
        raise InputError(
            f"{path}: line 1 states {lines[0].strip()} images, but the file lists {len(rows)}; the file is truncated"
        )
    values = np.array([row[1:] for row in rows if len(row) == 41])
    if len(values) != len(rows) or not np.isin(values, ("-1", "1")).all():
        raise InputError(f"{path}: every line must have a file name and 40 values of -1 or 1")
    names = [row[0] for row in rows]
    odd = next((name for name in names if not Path(name).stem.isdigit()), None)
    if odd is not None:
        raise InputError(f"{path}: '{odd}' is not a valid image name; expected names such as 000001.jpg")
    return pd.DataFrame((values == "1").astype(np.int64), index=names, columns=list(ATTRIBUTES))


celeba = Layout(
    "celeba",
    "CelebA: 40 attributes and identities, official partition; groups gender and age group",
    read_celeba,
    (Option("images", str, "aligned", "version of the images", tuple(_CELEBA_FOLDERS)),),
)


FAIRFACE_LEVELS: dict[str, tuple[str, ...]] = {
    "gender": ("Male", "Female"),
    "race": ("White", "Black", "Latino_Hispanic", "East Asian", "Southeast Asian", "Indian", "Middle Eastern"),
    "age": ("0-2", "3-9", "10-19", "20-29", "30-39", "40-49", "50-59", "60-69", "more than 70"),
}


def read_fairface(root: Path, *, val_fraction: float = 0.05) -> Listing:
    """Read FairFace from the two label files and the folders ``train`` and ``val``."""
    rows = []
    for part, split in (("train", "train"), ("val", "test")):
        names = (f"fairface_label_{part}.csv", f"labels/fairface_label_{part}.csv")
        path = require_file(root, names, "fairface")
        images = require_folder(
            root, (part, *(f"fairface-img-margin{m}-trainval/{part}" for m in ("025", "125"))), "fairface"
        )
        for number, row in enumerate(read_rows(path, ("file", *FAIRFACE_LEVELS))):
            for column, levels in FAIRFACE_LEVELS.items():
                if row[column] not in levels:
                    # Spreadsheet programs convert the age group 3-9 to a date.
                    raise InputError(
                        f"{path}: row {number + 1} has {column} '{row[column]}'; expected {', '.join(levels)}"
                    )
            values = {column: row[column] for column in FAIRFACE_LEVELS}
            rows.append({"path": str(images.parent / row["file"]), "split": split, "source": row["file"]} | values)
    table = (
        pd.DataFrame(rows).rename(columns={"age": "age_group"}).assign(dataset="fairface", video="", method="", frame=0)
    )
    table["split"] = split_validation(table["split"], table["source"], val_fraction)
    labels = {name.replace("age", "age_group"): Label("class", levels) for name, levels in FAIRFACE_LEVELS.items()}
    return Listing(table, labels, tuple(labels), boundary=root)


fairface = Layout(
    "fairface",
    "FairFace: gender, race (7) and age group (9); official validation is the test split",
    read_fairface,
    (Option("val_fraction", float, 0.05, "fraction of the training sources that is used for validation"),),
)


_LFW_FOLDERS = ("lfw", "lfw-deepfunneled", "lfw_funneled", "lfw-deepfunneled/lfw-deepfunneled")


def read_lfw(root: Path, *, only_pairs: bool = True) -> Listing:
    """Read the images and pairs of LFW; the pairs are written to ``NAME.pairs.csv`` next to the manifest."""
    folder = require_folder(root, _LFW_FOLDERS, "lfw")
    pairs = read_lfw_pairs(require_file(root, ("pairs.txt", "lfw/pairs.txt"), "lfw"))
    if only_pairs:
        sides = [pairs[[f"source_{side}", f"frame_{side}"]].set_axis(["source", "frame"], axis=1) for side in "ab"]
        table = pd.concat(sides).drop_duplicates().sort_values(["source", "frame"]).reset_index(drop=True)
    else:
        found = [(path.parent.name, path.stem.rsplit("_", 1)[-1]) for path in list_files(folder, (".jpg",))]
        rows = [{"source": name, "frame": int(number)} for name, number in found if number.isdigit()]
        if not rows:
            raise InputError(f"{folder}: no images with names such as Aaron_Eckhart/Aaron_Eckhart_0001.jpg")
        table = pd.DataFrame(rows)
    table["path"] = [
        str(folder / name / f"{name}_{number:04d}.jpg") for name, number in zip(table["source"], table["frame"])
    ]
    table["identity"] = table["source"]
    table = table.assign(split="test", dataset="lfw", video="", method="")
    return Listing(table, {"identity": Label("identity")}, extra_tables={"pairs": pairs}, boundary=root)


def read_lfw_pairs(path: Path) -> pd.DataFrame:
    """Read pairs in LFW's format as columns fold, source_a, frame_a, source_b, frame_b and same."""
    lines = [line.split() for line in read_lines(path)]
    at, rows = -1, []
    try:
        folds, each = (int(number) for number in lines[0])
        for at, parts in enumerate(lines[1:]):
            same = len(parts) == 3
            first, second = (parts[0], parts[1]), (parts[0], parts[2]) if same else (parts[2], parts[3])
            if "/" in first[0] + second[0] or ".." in (first[0], second[0]):
                raise ValueError
            rows.append((at // (2 * each), first[0], int(first[1]), second[0], int(second[1]), int(same)))
    except (ValueError, IndexError, ZeroDivisionError):
        found = " ".join(lines[at + 1])[:100] if lines else ""
        raise InputError(
            f"{path}: line {at + 2} is '{found}'; expected a first line with the numbers of folds and pairs, "
            "followed by lines such as NAME 1 2 or NAME 1 OTHER 2"
        ) from None
    if len(rows) != folds * each * 2:
        raise InputError(
            f"{path}: line 1 states {folds} folds of 2 x {each} pairs, but the file has {len(rows)} pairs; it is "
            "truncated"
        )
    return pd.DataFrame(rows, columns=["fold", "source_a", "frame_a", "source_b", "frame_b", "same"])


lfw = Layout(
    "lfw",
    "LFW: identities, verification pairs next to the manifest; all images are in the test split",
    read_lfw,
    (Option("only_pairs", bool, True, "only the images in pairs.txt"),),
)


GENDERS: tuple[str, ...] = ("Male", "Female")
RACES: tuple[str, ...] = ("White", "Black", "Asian", "Indian", "Others")
AGE_GROUPS: tuple[str, ...] = ("0-2", "3-9", "10-19", "20-29", "30-39", "40-49", "50-59", "60-69", "70+")
# One of the published file names lacks the dot before "jpg".
_UTKFACE_NAME = re.compile(r"(\d{1,3})_([01])_([0-4])_(\d+)\s*\.?jpg(\.chip)?(\.jpg)*", re.IGNORECASE)


def read_utkface(root: Path, *, split_fractions: str = DEFAULT) -> Listing:
    """Read UTKFace from all images below ``root``: a single folder, or the folder of the three original parts."""
    require_root(root, "utkface")
    rows, excluded = [], []
    for path in list_files(root, (".jpg",)):
        found = _UTKFACE_NAME.fullmatch(path.name)
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
    """Return FairFace's age group for an age in years."""
    if age < 10:
        return "0-2" if age < 3 else "3-9"
    return "70+" if age >= 70 else f"{age // 10 * 10}-{age // 10 * 10 + 9}"


utkface = Layout(
    "utkface",
    "UTKFace: gender, race, age and age group from the file names; no official split",
    read_utkface,
    (Option("split_fractions", str, DEFAULT, "train,val,test"),),
)
