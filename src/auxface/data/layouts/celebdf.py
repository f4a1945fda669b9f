"""Layout ``celebdf``: Celeb-DF, versions 1 and 2 (Li et al., 2020): celebrity videos and face swaps between them.

A forged video ``id0_id1_0003`` is the real video ``id0_0003`` with the face of id1, so ``id0_0003`` is its source. The
official test list has forgeries whose original is not on the list. Videos that share a source with the test split are
excluded from training, and counted, unless ``source="video"`` makes each video its own source.
"""

import re
from pathlib import Path

import pandas as pd

from auxface.data.layouts.faceforensics import FORGED
from auxface.data.layouts.registry import (
    Excluded,
    Layout,
    Listing,
    Option,
    list_files,
    read_lines,
    require_file,
    require_folder,
)
from auxface.data.splits import split_validation
from auxface.errors import InputError

_FOLDERS = {"Celeb-real": 0, "YouTube-real": 0, "Celeb-synthesis": 1}
_TEST = "List_of_testing_videos.txt"


def read(root: Path, *, source: str = "original", val_fraction: float = 0.15) -> Listing:
    """Read the folder ``root`` of either version."""
    test = _test_list(require_file(root, (_TEST,), "celebdf"))
    rows = []
    for folder, forged in _FOLDERS.items():
        for path in list_files(require_folder(root, (folder,), "celebdf"), (".mp4",)):
            name = f"{folder}/{path.name}"
            own = path.stem if folder != "YouTube-real" else f"youtube_{path.stem}"
            swap = re.fullmatch(r"(id\d+)_(id\d+)_(\d+)", path.stem)
            if forged and swap is None:
                raise InputError(f"{path}: the name of a forged video must be like id0_id1_0003.mp4")
            original = f"{swap[1]}_{swap[3]}" if forged and swap and source == "original" else own
            rows.append(
                {"path": str(path), "split": "test" if name in test else "train", "source": original, "video": own}
                | {"method": "Celeb-DF" if forged else "", "forged": forged}
            )
    missing = [name for name in test if not (root / name).is_file()]
    if not rows or len(missing) == len(test):
        raise InputError(f"{root}: none of the videos of {_TEST} exists")
    table = pd.DataFrame(rows).assign(dataset="celebdf", frame=0)
    rest = table["split"] == "train"
    leaks = rest & table["source"].isin(table.loc[~rest, "source"])
    excluded = [
        Excluded(str(row.path), "duplicate", f"its original {row.source} is also the source of a test video")
        for row in table[leaks].itertuples()
    ] + [Excluded(str(root / name), "unreadable", f"no such file; {_TEST} lists it") for name in missing]
    table = table[~leaks].reset_index(drop=True)
    table["split"] = split_validation(table["split"], table["source"], val_fraction)
    return Listing(table, {"forged": FORGED}, excluded=tuple(excluded), boundary=root)


def _test_list(path: Path) -> dict[str, int]:
    test = {}
    for line in read_lines(path):
        parts = line.split()
        if len(parts) != 2 or parts[0] not in "01" or parts[1].split("/")[0] not in _FOLDERS:
            raise InputError(f"{path}: line '{line}' must have 0 or 1 and a video such as Celeb-real/id0_0001.mp4")
        # In this file 1 means real. The label is taken from the folder, which agrees.
        test[parts[1]] = int(parts[0])
    return test


layout = Layout(
    "celebdf",
    "Celeb-DF v1 or v2: real and forged videos, official test list",
    read,
    (
        Option(
            "source", str, "original", "source of a forgery: its original, or the video itself", ("original", "video")
        ),
        Option("val_fraction", float, 0.15, "fraction of the training sources that becomes validation"),
    ),
)
