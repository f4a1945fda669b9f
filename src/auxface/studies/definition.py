"""The study file: data sets, methods, varied settings, seeds and planned comparisons.

A study file is YAML. ``read_study`` validates the file before any run is started. The results folder contains a copy of
the study (``study.json``), so that a report needs only the results folder.

Example:
    >>> from auxface.studies.definition import Study
    >>> study = Study.model_validate({
    ...     "name": "small", "about": "Does texture help?", "seeds": [0, 1, 2],
    ...     "data": [{"name": "faces", "manifest": "faces.parquet", "task": "gender"}],
    ...     "methods": {"supervised": {"recipe": "supervised"}, "l_ssat": {"recipe": "l_ssat"}},
    ...     "compare": {"baseline": "supervised"},
    ... })
    >>> study.compare.metric
    'balanced_accuracy'
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from auxface.atomic import atomic_file
from auxface.errors import InputError
from auxface.evaluation.metrics import METRICS
from auxface.evaluation.robustness import COMMON_CORRUPTIONS
from auxface.plugins import nearest
from auxface.recipe.validation import Fraction, Strict, parse_yaml, sentence

PLAN_FILE = "study.json"

Name = Annotated[str, Field(min_length=1, max_length=80)]
LabelFraction = Annotated[float, Field(gt=0, le=1)]
Seeds = Annotated[tuple[Annotated[int, Field(ge=0, lt=2**31)], ...], Field(min_length=1)]
Grid = dict[str, Annotated[tuple[Any, ...], Field(min_length=1)]]

_MAX_BYTES = 1_000_000


class StudyData(Strict):
    """A manifest and the labels on which models are trained."""

    name: Name
    manifest: str
    """File name of the manifest, relative to the data root."""
    task: Name | Annotated[tuple[Name, ...], Field(min_length=1)]
    """The label on which models are trained, or several labels that every model learns together."""
    metric: str | None = None
    """Metric of the comparisons on this data set; empty: the metric in ``compare``."""
    unlabeled: tuple[str, ...] = ()
    """Manifests, relative to the data root, whose training images are used without labels in every run."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Recipe keys to set for every method on this data set."""
    group: str | None = None
    """Group column that replaces ``$group`` in the values of settings."""
    keep: dict[str, dict[str, Fraction]] = Field(default_factory=dict)
    """Fraction of the training rows to keep, by column and value. Validation and test rows are not changed."""
    baselines: dict[str, dict[str, float]] = Field(default_factory=dict)
    """Values of simple baselines that are listed next to the methods, by baseline and metric."""

    @property
    def tasks(self) -> tuple[str, ...]:
        """The names of the labels on which models are trained."""
        return (self.task,) if isinstance(self.task, str) else self.task

    @field_validator("metric")
    @classmethod
    def _check_known(cls, value: str | None) -> str | None:
        return None if value is None else _check_metric(value)

    @field_validator("baselines")
    @classmethod
    def _check_baselines(cls, value: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
        for metrics in value.values():
            for metric in metrics:
                _check_metric(metric)
        return value


class Method(Strict):
    """A training method: a recipe, fixed settings, and varied settings."""

    recipe: str
    """Recipe file, relative to the study file's folder, or name of a packaged recipe."""
    settings: dict[str, Any] = Field(default_factory=dict)
    vary: Grid = Field(default_factory=dict)
    """Values to vary, by recipe key. Each combination of values is a separate method."""
    control_of: str | None = None
    """Name of the method of which this is a control: it is trained in the same way, but nothing can be learned from the
    target of its auxiliary. The report also compares the other method with this control."""
    learnable: dict[str, float] = Field(default_factory=dict)
    """Skill that ``auxface texture learnable`` reports for the target of the auxiliary, by data set. The method counts
    as tested only if its auxiliary reaches half of this skill."""
    not_tested: dict[str, str] = Field(default_factory=dict)
    """Reasons why the differences of this method do not answer the study's question, by data set; for example, the
    gradient of the auxiliary is almost zero. The report shows "not tested" and the reason instead of a verdict."""
    skip: tuple[dict[str, Any], ...] = ()
    """Combinations to exclude; an entry excludes all combinations that contain its values."""


class Compare(Strict):
    """The comparisons in the report."""

    baseline: Name
    """Method with which every other method is compared, on the same data and with the same values of the study's
    ``vary``."""
    metric: str = "balanced_accuracy"

    @field_validator("metric")
    @classmethod
    def _check_known(cls, value: str) -> str:
        return _check_metric(value)


class Study(Strict):
    """A grid of training runs: data sets x methods x varied settings x label fractions x seeds."""

    name: Name
    about: str
    """The question of the study, in one or two sentences."""
    data: Annotated[tuple[StudyData, ...], Field(min_length=1)]
    methods: Annotated[dict[str, Method], Field(min_length=1)]
    settings: dict[str, Any] = Field(default_factory=dict)
    """Recipe keys to set for every method. Keys of the auxiliary apply only to methods with an auxiliary."""
    vary: Grid = Field(default_factory=dict)
    """Values to vary, by recipe key. Every method is run with each combination of values."""
    label_fractions: tuple[LabelFraction, ...] = (1.0,)
    """Fractions of the training labels to use. The auxiliary still uses the images without a label."""
    labeled_per_batch: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Fraction of labeled images in each step of the runs with unlabeled images, that is, runs with a label fraction
    below 1 or with ``unlabeled`` manifests. The value is set as ``train.labeled_per_batch`` for every method, so that
    all methods use the same number of labeled images per step. Empty: labeled and unlabeled images are mixed at
    random."""
    seeds: Seeds
    corruptions: tuple[str, ...] | Literal["common"] = ()
    """Corruptions under which every model is tested, at severities 1 to 5. ``common``: the 15 common corruptions."""
    compare: Compare

    @property
    def corruption_names(self) -> tuple[str, ...]:
        """The names of the corruptions, with ``common`` expanded."""
        return COMMON_CORRUPTIONS if self.corruptions == "common" else self.corruptions

    def metric_of(self, data: str) -> str:
        """Return the metric of the comparisons on a data set."""
        return next((one.metric for one in self.data if one.name == data and one.metric), self.compare.metric)

    @model_validator(mode="after")
    def _check(self) -> "Study":
        names = [data.name for data in self.data]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two data sets are named '{name}'")
        for method, entry in self.methods.items():
            for key in ("not_tested", "learnable"):
                for name in getattr(entry, key):
                    if name not in names:
                        raise ValueError(f"methods.{method}.{key}: no data set is named '{name}'{nearest(name, names)}")
        for what, values in (("seed", self.seeds), ("label fraction", self.label_fractions)):
            if len(set(values)) < len(values):
                raise ValueError(f"a {what} is listed twice")
        return self


def read_study(path: Path) -> Study:
    """Return the validated study of a study file.

    Raises:
        InputError: the file does not exist, is not valid YAML, has an unknown key (the message suggests the nearest
            key), or has a value out of range.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such study; expected a YAML file")
    if path.stat().st_size > _MAX_BYTES:
        raise InputError(f"{path}: the file has {path.stat().st_size} bytes; at most {_MAX_BYTES} are allowed")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise InputError(f"{path}: not a readable text file") from None
    raw = parse_yaml(text, str(path))
    if not isinstance(raw, dict):
        raise InputError(f"{path}: a study must be a mapping of keys to values; found {type(raw).__name__}")
    try:
        return Study.model_validate(raw)
    except ValidationError as error:
        raise InputError(f"{path}: {sentence(error, Study)}") from None


def write_plan(folder: Path, study: Study, planned: int) -> None:
    """Write the study and its number of planned runs to ``study.json``."""
    with atomic_file(folder / PLAN_FILE) as temporary:
        temporary.write_text(json.dumps({"study": study.model_dump(mode="json"), "planned": planned}, indent=1) + "\n")


def read_plan(folders: Sequence[Path]) -> tuple[Study, int]:
    """Return the study and its number of planned runs, read from the first of the given results folders.

    Raises:
        InputError: the ``study.json`` of a folder is missing, is invalid, or belongs to another study.
    """
    plans = [_read_plan(folder) for folder in folders]
    study = plans[0][0]
    for folder, (other, _) in zip(folders, plans):
        if other.name != study.name:
            raise InputError(
                f"{folder} contains the study '{other.name}', but {folders[0]} contains '{study.name}'; a report needs "
                "folders of the same study"
            )
    return plans[0]


def _read_plan(folder: Path) -> tuple[Study, int]:
    path = folder / PLAN_FILE
    if not path.is_file():
        raise InputError(f"{folder}: contains no study results; run 'auxface study STUDY.yaml --out {folder}' first")
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        return Study.model_validate(raw["study"]), int(raw["planned"])
    except (ValueError, KeyError, TypeError, ValidationError):
        raise InputError(f"{path}: not a valid study plan; run 'auxface study' again with this --out folder") from None


def _check_metric(name: str) -> str:
    if name not in METRICS:
        raise ValueError(f"unknown metric '{name}'{nearest(name, METRICS)}")
    return name
