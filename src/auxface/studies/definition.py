"""What a study file says: data, methods, what varies, seeds, and the comparisons it will make, before anything runs.

``study.json`` beside the results: what was asked for, so that a report needs the folder alone.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from auxface.atomic import atomic_file
from auxface.errors import InputError
from auxface.evaluation.metrics import METRICS
from auxface.evaluation.robustness import COMMON_CORRUPTIONS
from auxface.plugins import nearest
from auxface.recipe.validation import Fraction, Strict, sentence

Name = Annotated[str, Field(min_length=1, max_length=80)]
Share = Annotated[float, Field(gt=0, le=1)]
Seeds = Annotated[tuple[Annotated[int, Field(ge=0, lt=2**31)], ...], Field(min_length=1)]
Varied = dict[str, Annotated[tuple[Any, ...], Field(min_length=1)]]

_LARGEST_FILE = 1_000_000


class Data(Strict):
    """One manifest and one of its labels."""

    name: Name
    manifest: str
    """The manifest's file, from the data root."""
    task: Name
    """The label that is learned."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Recipe keys for this data, whatever the method."""
    group: str | None = None
    """The group column that a setting with the value ``$group`` names."""
    keep: dict[str, dict[str, Fraction]] = Field(default_factory=dict)
    """Column to level to the share of its training rows that is kept: a skewed training set; the other splits stay."""
    baselines: dict[str, dict[str, float]] = Field(default_factory=dict)
    """Plain baselines to show beside the methods: name to metric to value."""

    @field_validator("baselines")
    @classmethod
    def _known(cls, value: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
        for metrics in value.values():
            for metric in metrics:
                _check_metric(metric)
        return value


class Method(Strict):
    """One way of training, or several that differ in what varies."""

    recipe: str
    """A recipe's file, from the study's folder, or the name of a packaged one."""
    settings: dict[str, Any] = Field(default_factory=dict)
    vary: Varied = Field(default_factory=dict)
    """Recipe key to its values; each combination is a method of its own."""
    not_tested: dict[str, str] = Field(default_factory=dict)
    """Data set to why the method's differences there answer nothing, such as an auxiliary that hardly acted. The report
    says "not tested" in place of a verdict, with this reason."""
    skip: tuple[dict[str, Any], ...] = ()
    """Combinations that are left out: those that have all these values."""


class Compare(Strict):
    """The comparisons that are made, and no others."""

    baseline: Name
    """The method that every other is compared with, on the same data and the same values of what varies."""
    metric: str = "balanced_accuracy"

    @field_validator("metric")
    @classmethod
    def _known(cls, value: str) -> str:
        return _check_metric(value)


class Study(Strict):
    """Data times methods times what varies times seeds."""

    name: Name
    about: str
    """The question, in a sentence or two."""
    data: Annotated[tuple[Data, ...], Field(min_length=1)]
    methods: Annotated[dict[str, Method], Field(min_length=1)]
    settings: dict[str, Any] = Field(default_factory=dict)
    """Recipe keys for every method alike. Those of the auxiliary reach the methods that have one."""
    vary: Varied = Field(default_factory=dict)
    """Recipe key to values that every method goes through."""
    label_fractions: tuple[Share, ...] = (1.0,)
    """Shares of the training labels that are known; the images without a label still serve the auxiliary."""
    seeds: Seeds
    corruptions: tuple[str, ...] | Literal["common"] = ()
    """Damages that every model is tested under, at severities 1 to 5; ``common``: the fifteen."""
    compare: Compare

    @property
    def damages(self) -> tuple[str, ...]:
        """The names of the corruptions."""
        return COMMON_CORRUPTIONS if self.corruptions == "common" else self.corruptions

    @model_validator(mode="after")
    def _check(self) -> "Study":
        names = [data.name for data in self.data]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"data '{name}' is named twice")
        for method, entry in self.methods.items():
            for name in entry.not_tested:
                if name not in names:
                    raise ValueError(f"methods.{method}.not_tested: no data is named '{name}'{nearest(name, names)}")
        for what, values in (("seed", self.seeds), ("label fraction", self.label_fractions)):
            if len(set(values)) < len(values):
                raise ValueError(f"a {what} is given twice")
        return self


def read_study(path: Path) -> Study:
    """Read and check a study file.

    Raises:
        InputError: no such file, not readable YAML, an unknown key (with the nearest known one), or a value out of
            range.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such study; expected a YAML file")
    if path.stat().st_size > _LARGEST_FILE:
        raise InputError(f"{path}: larger than any study ({path.stat().st_size} bytes)")
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        raise InputError(f"{path}: not a readable text file") from None
    except yaml.YAMLError as error:
        raise InputError(f"{path}: not readable YAML ({' '.join(str(error).split())})") from None
    if not isinstance(raw, dict):
        raise InputError(f"{path}: a study is a mapping of keys to values")
    try:
        return Study.model_validate(raw)
    except ValidationError as error:
        raise InputError(f"{path}: {sentence(error, Study)}") from None


def _check_metric(name: str) -> str:
    if name not in METRICS:
        raise ValueError(f"unknown metric '{name}'{nearest(name, METRICS)}")
    return name


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
