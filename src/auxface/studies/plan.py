"""``study.json`` beside the results: what was asked for, so that a report needs the folder alone."""

import json
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from auxface.atomic import atomic_file
from auxface.errors import InputError
from auxface.studies.definition import Study

FILE = "study.json"


def keep_plan(folder: Path, study: Study, planned: int) -> None:
    """Write the study and how many runs it asks for."""
    with atomic_file(folder / FILE) as beside:
        beside.write_text(json.dumps({"study": study.model_dump(mode="json"), "planned": planned}, indent=1) + "\n")


def read_plan(folders: Sequence[Path]) -> tuple[Study, int]:
    """The study that the folders hold results of, as the first has it, and how many runs it asks for.

    Raises:
        InputError: a folder without a plan or with a broken one, or of another study.
    """
    plans = [_read(folder) for folder in folders]
    study = plans[0][0]
    for folder, (other, _) in zip(folders, plans):
        if other.name != study.name:
            raise InputError(f"{folder} holds the study '{other.name}', {folders[0]} '{study.name}'; report on one")
    return plans[0]


def _read(folder: Path) -> tuple[Study, int]:
    path = folder / FILE
    if not path.is_file():
        raise InputError(f"{folder}: no results of a study; run 'auxface study STUDY.yaml --out {folder}'")
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        return Study.model_validate(raw["study"]), int(raw["planned"])
    except (ValueError, KeyError, TypeError, ValidationError):
        raise InputError(f"{path}: not the plan of a study; run the study again in this folder") from None
