"""Layout ``lfw``: Labeled Faces in the Wild (Huang et al., 2007): identities and the 6,000 pairs of View 2."""

from pathlib import Path

import pandas as pd

from auxface.data.layouts.registry import Layout, Listing, Option, list_files, read_lines, require_file, require_folder
from auxface.data.manifest import Label
from auxface.errors import InputError

_FOLDERS = ("lfw", "lfw-deepfunneled", "lfw_funneled", "lfw-deepfunneled/lfw-deepfunneled")


def read(root: Path, *, only_pairs: bool = True) -> Listing:
    """Read the images and ``pairs.txt``; the pairs are written beside the manifest as ``NAME.pairs.csv``."""
    folder = require_folder(root, _FOLDERS, "lfw")
    pairs = _pairs(require_file(root, ("pairs.txt", "lfw/pairs.txt"), "lfw"))
    if only_pairs:
        sides = [pairs[[f"source_{side}", f"frame_{side}"]].set_axis(["source", "frame"], axis=1) for side in "ab"]
        table = pd.concat(sides).drop_duplicates().sort_values(["source", "frame"]).reset_index(drop=True)
    else:
        found = [(path.parent.name, path.stem.rsplit("_", 1)[-1]) for path in list_files(folder, (".jpg",))]
        rows = [{"source": name, "frame": int(number)} for name, number in found if number.isdigit()]
        if not rows:
            raise InputError(f"{folder}: there are no images such as Aaron_Eckhart/Aaron_Eckhart_0001.jpg")
        table = pd.DataFrame(rows)
    table["path"] = [
        str(folder / name / f"{name}_{number:04d}.jpg") for name, number in zip(table["source"], table["frame"])
    ]
    table["identity"] = table["source"]
    table = table.assign(split="test", dataset="lfw", video="", method="")
    return Listing(table, {"identity": Label("identity")}, extra_tables={"pairs": pairs}, boundary=root)


def _pairs(path: Path) -> pd.DataFrame:
    lines = [line.split() for line in read_lines(path)]
    wrong = InputError(f"{path}: expected a line with folds and pairs, then NAME 1 2 or NAME 1 OTHER 2 on each line")
    try:
        folds, each = (int(number) for number in lines[0])
        rows = []
        for at, parts in enumerate(lines[1:]):
            same = len(parts) == 3
            first, second = (parts[0], parts[1]), (parts[0], parts[2]) if same else (parts[2], parts[3])
            rows.append((at // (2 * each), first[0], int(first[1]), second[0], int(second[1]), int(same)))
    except (ValueError, IndexError, ZeroDivisionError):
        raise wrong from None
    if len(rows) != folds * each * 2:
        raise InputError(
            f"{path}: line 1 announces {folds} folds of 2 x {each} pairs, the file has {len(rows)}; it is truncated"
        )
    for row in rows:
        if "/" in row[1] + row[3] or ".." in (row[1], row[3]):
            raise wrong
    return pd.DataFrame(rows, columns=["fold", "source_a", "frame_a", "source_b", "frame_b", "same"])


layout = Layout(
    "lfw",
    "LFW: identities, verification pairs beside the manifest; all images are in the test split",
    read,
    (Option("only_pairs", bool, True, "only the images in pairs.txt"),),
)
