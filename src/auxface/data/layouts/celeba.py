"""Layout ``celeba``: CelebFaces Attributes (Liu et al., 2015): 40 attributes, identities, the official partition."""

from pathlib import Path

import numpy as np
import pandas as pd

from auxface.data.layouts.registry import Layout, Listing, Option, read_lines, require_file, require_folder
from auxface.data.manifest import Label
from auxface.errors import InputError

ATTRIBUTES: tuple[str, ...] = (
    "5_o_Clock_Shadow", "Arched_Eyebrows", "Attractive", "Bags_Under_Eyes", "Bald", "Bangs", "Big_Lips", "Big_Nose",
    "Black_Hair", "Blond_Hair", "Blurry", "Brown_Hair", "Bushy_Eyebrows", "Chubby", "Double_Chin", "Eyeglasses",
    "Goatee", "Gray_Hair", "Heavy_Makeup", "High_Cheekbones", "Male", "Mouth_Slightly_Open", "Mustache", "Narrow_Eyes",
    "No_Beard", "Oval_Face", "Pale_Skin", "Pointy_Nose", "Receding_Hairline", "Rosy_Cheeks", "Sideburns", "Smiling",
    "Straight_Hair", "Wavy_Hair", "Wearing_Earrings", "Wearing_Hat", "Wearing_Lipstick", "Wearing_Necklace",
    "Wearing_Necktie", "Young",
)  # fmt: skip
_FOLDERS = {
    "aligned": ("img_align_celeba", "Img/img_align_celeba", "img_align_celeba/img_align_celeba"),
    "aligned_png": ("img_align_celeba_png", "Img/img_align_celeba_png"),
    "wild": ("img_celeba", "Img/img_celeba"),
}
_SPLITS = {"0": "train", "1": "val", "2": "test"}


def read(root: Path, *, images: str = "aligned") -> Listing:
    """Read the folder ``root``; docs/data.md shows its tree."""
    folder = require_folder(root, _FOLDERS[images], "celeba")
    partition = _pairs(require_file(root, ("list_eval_partition.txt", "Eval/list_eval_partition.txt"), "celeba"))
    identity = _pairs(require_file(root, ("identity_CelebA.txt", "Anno/identity_CelebA.txt"), "celeba"))
    attributes = _attributes(require_file(root, ("list_attr_celeba.txt", "Anno/list_attr_celeba.txt"), "celeba"))

    table = attributes.join(partition.rename("split")).join(identity.rename("identity"))
    for column, file in (("split", "list_eval_partition.txt"), ("identity", "identity_CelebA.txt")):
        if table[column].isna().any():
            raise InputError(f"{root}: {file} has no line for {table.index[table[column].isna()][0]}")
    wrong = table.loc[~table["split"].isin(list(_SPLITS)), "split"]
    if len(wrong):
        raise InputError(
            f"{root}: list_eval_partition.txt gives {wrong.index[0]} '{wrong.iloc[0]}'; expected 0, 1 or 2"
        )
    suffix = ".png" if images == "aligned_png" else ".jpg"
    table["path"] = [str(folder / Path(name).with_suffix(suffix).name) for name in table.index]
    table["split"] = table["split"].map(_SPLITS)
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


def _pairs(path: Path) -> pd.Series:
    parts = [line.split() for line in read_lines(path)]
    if any(len(part) != 2 for part in parts):
        raise InputError(f"{path}: every line must have a file name and a number")
    return pd.Series([part[1] for part in parts], index=[part[0] for part in parts])


def _attributes(path: Path) -> pd.DataFrame:
    lines = read_lines(path)
    if len(lines) < 3 or tuple(lines[1].split()) != ATTRIBUTES:
        raise InputError(f"{path}: line 2 must name the 40 attributes in their official order")
    rows = [line.split() for line in lines[2:]]
    if str(len(rows)) != lines[0].strip():
        raise InputError(
            f"{path}: line 1 announces {lines[0].strip()} images, the file lists {len(rows)}; it is truncated"
        )
    values = np.array([row[1:] for row in rows if len(row) == 41])
    if len(values) != len(rows) or not np.isin(values, ("-1", "1")).all():
        raise InputError(f"{path}: every line must have a file name and 40 values of -1 or 1")
    names = [row[0] for row in rows]
    odd = next((name for name in names if not Path(name).stem.isdigit()), None)
    if odd is not None:
        raise InputError(f"{path}: '{odd}' is not a valid image name; expected names such as 000001.jpg")
    return pd.DataFrame((values == "1").astype(np.int64), index=names, columns=list(ATTRIBUTES))


layout = Layout(
    "celeba",
    "CelebA: 40 attributes and identities, official partition; groups gender and age group",
    read,
    (Option("images", str, "aligned", "which version of the images", tuple(_FOLDERS)),),
)
