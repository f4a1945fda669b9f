"""Layouts of facial expression data sets: AffectNet, CK+ and RAF-DB.

Layout ``affectnet``: the manually annotated part of AffectNet (Mollahosseini et al., 2017), in both published forms.

No test set was released, and publications report results on the official validation set. That set is the test split
here; the validation split is taken from the official training set.

Layout ``ckplus``: Extended Cohn-Kanade (Lucey et al., 2010), posed expressions from neutral to peak.

Layout ``rafdb``: the basic set of Real-world Affective Faces (Li, Deng and Du, 2017), with 7 emotions.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from auxface.data.images.decode import in_order
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
)
from auxface.data.manifest import Label
from auxface.data.splits import DEFAULT, parse_fractions, split_by_source, split_validation
from auxface.errors import InputError

AFFECTNET_CLASSES: tuple[str, ...] = (
    "neutral",
    "happiness",
    "sadness",
    "surprise",
    "fear",
    "disgust",
    "anger",
    "contempt",
)
_AFFECTNET_COLUMNS = ("subDirectory_filePath", "expression", "valence", "arousal")


def read_affectnet(root: Path, *, classes: str = "8", val_fraction: float = 0.05) -> Listing:
    """Read AffectNet in its original form (file lists, numbered folders) or 2021 form (``train_set``, ``val_set``)."""
    names = AFFECTNET_CLASSES[: int(classes)]
    rows = _affectnet_arrays(root) if (root / "train_set").is_dir() else _affectnet_lists(root)
    # Rows without one of the chosen emotions (none, uncertain, no face; contempt with seven classes) are not listed.
    table = pd.DataFrame([row for row in rows if "expression" in row and row["expression"] < len(names)])
    excluded = tuple(
        Excluded(str(row["path"]), "unreadable", "its annotation is missing or corrupt")
        for row in rows
        if "expression" not in row
    )
    if table.empty:
        raise InputError(f"{root}: no image has an expression from 0 to {len(names) - 1}")
    table["emotion"] = [names[value] for value in table["expression"]]
    table = table.drop(columns="expression").assign(dataset="affectnet", video="", method="")
    table["frame"] = table.groupby("source").cumcount()
    table["split"] = split_validation(table["split"], table["source"], val_fraction)
    labels = {"emotion": Label("class", names), "valence": Label("ordinal"), "arousal": Label("ordinal")}
    return Listing(table, labels, excluded=excluded, boundary=root)


def _affectnet_lists(root: Path) -> list[dict]:
    images = require_folder(
        root, ("Manually_Annotated_Images", "Manually_Annotated/Manually_Annotated_Images"), "affectnet"
    )
    rows = []
    for file, split in (("training.csv", "train"), ("validation.csv", "test")):
        names = [f"{folder}{file}" for folder in ("", "Manually_Annotated_file_lists/", "Manually_Annotated/")]
        path = require_file(root, names, "affectnet")
        for number, row in enumerate(read_rows(path, _AFFECTNET_COLUMNS)):
            name = row["subDirectory_filePath"]
            try:
                values = {"expression": int(row["expression"])} | {
                    key: float(row[key]) for key in _AFFECTNET_COLUMNS[2:]
                }
            except ValueError:
                raise InputError(
                    f"{path}: row {number + 1} needs numbers for expression, valence and arousal"
                ) from None
            rows.append({"path": str(images / name), "split": split, "source": name} | values)
    return rows


def _affectnet_arrays(root: Path) -> list[dict]:
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


affectnet = Layout(
    "affectnet",
    "AffectNet (manual): 7 or 8 emotions, valence and arousal; official validation is the test split",
    read_affectnet,
    (
        Option("classes", str, "8", "8, or 7 without contempt", ("7", "8")),
        Option("val_fraction", float, 0.05, "fraction of the training sources that is used for validation"),
    ),
)


CKPLUS_CLASSES: tuple[str, ...] = ("neutral", "anger", "contempt", "disgust", "fear", "happy", "sadness", "surprise")


def read_ckplus(
    root: Path, *, peak_frames: int = 3, neutral_frames: int = 0, split_fractions: str = DEFAULT
) -> Listing:
    """Read the labeled CK+ sequences, whose label applies to the last frames; their first frames are neutral."""
    images = require_folder(root, ("cohn-kanade-images", "extended-cohn-kanade-images/cohn-kanade-images"), "ckplus")
    emotions = require_folder(root, ("Emotion", "Emotion_labels/Emotion"), "ckplus")
    if peak_frames < 1 or neutral_frames < 0:
        raise InputError("layout ckplus: peak_frames must be at least 1 and neutral_frames at least 0")
    rows = []
    for file in list_files(emotions, ("_emotion.txt",)):
        subject, sequence = file.parts[-3:-1]
        emotion = _ckplus_emotion(file)
        frames = list(list_files(require_folder(images, (f"{subject}/{sequence}",), "ckplus"), (".png",)))
        if len(frames) < peak_frames + neutral_frames:
            raise InputError(
                f"{images / subject / sequence}: {len(frames)} frames, fewer than peak_frames + neutral_frames"
            )
        chosen = [(path, "neutral") for path in frames[:neutral_frames]]
        chosen += [(path, emotion) for path in frames[-peak_frames:]]
        rows += [
            {"path": str(path), "source": subject, "video": f"{subject}_{sequence}", "emotion": what}
            | {"frame": int(path.stem.split("_")[-1])}
            for path, what in chosen
        ]
    if not rows:
        raise InputError(f"{emotions}: no label files such as S005/001/S005_001_00000011_emotion.txt")
    table = pd.DataFrame(rows).assign(dataset="ckplus", method="")
    table["split"] = split_by_source(table["source"], parse_fractions(split_fractions))
    classes = CKPLUS_CLASSES if neutral_frames else CKPLUS_CLASSES[1:]
    return Listing(table, {"emotion": Label("class", classes)}, boundary=root)


def _ckplus_emotion(file: Path) -> str:
    try:
        return CKPLUS_CLASSES[int(float(read_lines(file)[0]))]
    except (ValueError, IndexError):
        raise InputError(f"{file}: expected a number from 1 to 7") from None


ckplus = Layout(
    "ckplus",
    "CK+: 7 posed emotions in the peak frames of each labeled sequence; split by subject",
    read_ckplus,
    (
        Option("peak_frames", int, 3, "number of frames at the end of each sequence to label with its emotion"),
        Option("neutral_frames", int, 0, "number of frames at the start of each sequence to label as neutral"),
        Option("split_fractions", str, DEFAULT, "fractions train,val,test; split by subject"),
    ),
)


RAFDB_CLASSES: tuple[str, ...] = ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")
_RAFDB_GROUPS = {
    "gender": ("Male", "Female", "Unsure"),
    "race": ("Caucasian", "African-American", "Asian"),
    "age_group": ("0-3", "4-19", "20-39", "40-69", "70+"),
}


def read_rafdb(root: Path, *, images: str = "aligned", val_fraction: float = 0.1) -> Listing:
    """Read RAF-DB from the folder ``basic`` or its parent, with groups if ``Annotation/manual`` exists."""
    base = root / "basic" if (root / "basic").is_dir() else root
    labels = require_file(base, ("EmoLabel/list_patition_label.txt", "list_patition_label.txt"), "rafdb")
    folder = require_folder(base, (f"Image/{images}",), "rafdb")
    rows = []
    for line in read_lines(labels):
        parts = line.split()
        if len(parts) != 2 or parts[1] not in "1234567" or not parts[0].startswith(("train_", "test_")):
            raise InputError(
                f"{labels}: line '{line}'; expected a name such as train_00001.jpg and a label from 1 to 7"
            )
        stem = Path(parts[0]).stem
        name = f"{stem}_aligned.jpg" if images == "aligned" else parts[0]
        rows.append(
            {
                "path": str(folder / name),
                "split": stem.split("_")[0],
                "source": stem,
                "emotion": RAFDB_CLASSES[int(parts[1]) - 1],
            }
        )
    table = pd.DataFrame(rows).assign(dataset="rafdb", video="", method="", frame=0)
    table["split"] = split_validation(table["split"], table["source"], val_fraction)
    manual = base / "Annotation" / "manual"
    groups: tuple[str, ...] = ()
    if manual.is_dir():
        groups = tuple(_RAFDB_GROUPS)
        people = [_rafdb_person(manual / f"{source}_manu_attri.txt") for source in table["source"]]
        for at, group in enumerate(groups):
            table[group] = [person[at] for person in people]
    return Listing(table, {"emotion": Label("class", RAFDB_CLASSES)}, groups, boundary=root)


def _rafdb_person(path: Path) -> tuple[str, ...]:
    lines = read_lines(path)[-3:]
    try:
        return tuple(levels[int(line)] for levels, line in zip(_RAFDB_GROUPS.values(), lines, strict=True))
    except (ValueError, IndexError):
        raise InputError(f"{path}: the last three lines must be numbers for gender, race and age") from None


rafdb = Layout(
    "rafdb",
    "RAF-DB basic: 7 emotions; groups gender, race and age group if annotated",
    read_rafdb,
    (
        Option("images", str, "aligned", "version of the images", ("aligned", "original")),
        Option("val_fraction", float, 0.1, "fraction of the training sources that is used for validation"),
    ),
)
