"""Find the columns that identify the cluster and the sample of each row, by their names and values.

>>> frame = pd.DataFrame({"id": ["a", "b", "c"], "subject": ["p", "p", "q"]})
>>> chosen, found = pd.DataFrame(index=frame.index), FoundColumns({}, [])
>>> find_clusters(frame, chosen, found)
>>> find_samples(frame, chosen, found)
>>> list(chosen), found.said
(['source', 'sample'], ["sources 'subject'", "samples 'id'"])
"""

import shlex
from dataclasses import dataclass, field
from pathlib import PurePosixPath

import pandas as pd

from auxface.evaluation.column_names import PATHS, SAMPLES, SOURCE, VIDEO, named_like, plain_name, sole
from auxface.evaluation.predictions import KEY, SAMPLE, text_of

_IMAGES = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"}
# People of unique image paths are recognized from at least this many folders; fewer folders are probably classes.
_FEWEST_FOLDERS = 10


@dataclass
class FoundColumns:
    """The columns of a table that have been found so far.

    Attributes:
        renamed: name in auxface's scheme of each column found.
        said: description of each recognized column, such as ``score 'p'``.
        used: columns that are used without being renamed.
        notes: notes for the reader.
    """

    renamed: dict[str, str]
    said: list[str]
    used: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)


def find_clusters(frame: pd.DataFrame, chosen: pd.DataFrame, found: FoundColumns) -> None:
    """Add the columns ``video`` and ``source`` if columns with corresponding names have repeated values."""
    for target, known in (("video", VIDEO), ("source", SOURCE)):
        name = sole([name for name in named_like(list(map(str, frame.columns)), known)])
        if name is None or (name in found.renamed and name != target):
            continue
        values = clusters_of(frame[name])
        folders = len(frame[name].unique()) > values.nunique()
        if folders and target == "source" and values.nunique() < _FEWEST_FOLDERS:
            found.notes.append(
                f"Every row is its own cluster: '{name}' contains one image path per row, in only {values.nunique()} "
                "folders, which are not taken for people. If they are, write them to a column and name it with "
                "--cluster."
            )
            if target in chosen:
                del chosen[target]
        elif values.nunique() < len(values):
            chosen[target] = values
            found.used.add(name)
            folder = "the folders of " if folders else ""
            found.said.append(f"{'videos' if target == 'video' else 'sources'} {folder}'{name}'")
        elif target in chosen and not {*KEY} <= {*chosen.columns}:
            del chosen[target]


def find_samples(frame: pd.DataFrame, chosen: pd.DataFrame, found: FoundColumns) -> None:
    """Add the columns that identify the samples, so that the rows of two tables can be matched.

    The column ``sample`` is a column such as id; an id that is missing is empty text, and a note states whether ids are
    missing or repeated. ``sample.NAME`` are columns of videos and paths with a unique value in every row.
    """
    if {*KEY} <= {*chosen.columns}:
        return
    names = [name for name in map(str, frame.columns) if found.renamed.get(name, name) == name]
    ids = [name for name in named_like(names, SAMPLES) if name not in found.used]
    identifying = []
    if ids:
        name = next((one for one in ids if _is_key(frame[one])), ids[0])
        values = frame[name].astype(object)
        chosen[SAMPLE] = values.map(text_of, na_action="ignore").fillna("")
        found.used.add(name)
        missing, repeated = int(values.isna().sum()), int(values.dropna().duplicated().sum())
        if missing or repeated:
            found.notes.append(
                f"Column '{name}' does not identify the samples: {missing:,} of its {len(frame):,} values are missing, "
                f"and {repeated:,} {'repeats' if repeated == 1 else 'repeat'} an earlier value."
            )
        else:
            identifying.append(name)
    for name in named_like(names, VIDEO | PATHS):
        if _is_key(frame[name]):
            chosen[f"{SAMPLE}.{plain_name(name)}"] = frame[name].astype(object).map(text_of)
            found.used.add(name)
            identifying.append(name)
    if identifying:
        found.said.append("samples " + ", ".join(f"'{name}'" for name in identifying))


def _is_key(column: pd.Series) -> bool:
    """Return whether a column has a different value in every row."""
    return column.is_unique and bool((column.notna() & (column.astype(object) != "")).all())


def folder_notes(frame: pd.DataFrame, found: FoundColumns) -> list[str]:
    """Return a note for each unused column of image paths whose folders may be videos or people."""
    notes = []
    for name in named_like([one for one in map(str, frame.columns) if one not in found.renamed], PATHS):
        folders = clusters_of(frame[name]).nunique()
        if folders < frame[name].nunique() and _FEWEST_FOLDERS <= folders <= len(frame) / 2:
            notes.append(
                f"Every row is its own cluster, but the images in '{name}' are in {folders:,} folders. If each folder "
                f"is a video or a person, the intervals are too narrow without --cluster {shlex.quote(name)}."
            )
    return notes


def clusters_of(column: pd.Series) -> pd.Series:
    """Return the cluster of each row as text; for unique image paths, the parent folder."""
    values = column.map(text_of, na_action="ignore").astype(object)
    known = values.dropna()
    paths = known.astype(str).str.replace("\\", "/", regex=False)
    if (
        len(known)
        and known.is_unique
        and paths.map(lambda one: PurePosixPath(str(one)).suffix.lower() in _IMAGES).all()
    ):
        folders = paths.map(lambda one: str(PurePosixPath(str(one)).parent))
        if folders.nunique() > 1:
            values = values.where(values.isna(), folders.reindex(values.index))
    return values.where(values.notna(), "")
