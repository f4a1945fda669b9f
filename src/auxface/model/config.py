"""The ``config.json`` of a model directory: everything that predictions need, other than the weights."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from auxface.errors import InputError
from auxface.objectives import LearnedTask
from auxface.recipe import Recipe
from auxface.task import Kind

if TYPE_CHECKING:
    from auxface.evaluation import ScoredTask

# The upper limit exceeds 1, because an abstain band that covers every score ends just above 1.
Probability = Annotated[float, Field(ge=0, le=1.001)]
LEARNED_FROM = 0.6
"""Minimum lower end of the AUC's 95% interval for a class to count as learned; chance is 0.5."""


class LevelThresholdRecord(BaseModel):
    """Thresholds by class and group level, which replace the common threshold of all levels."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    group: str
    thresholds: dict[str, dict[str, Probability]]


class Evidence(BaseModel):
    """Evidence from the validation split that the model has learned one class, attribute or ordinal value."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    auc: float | None
    """AUC of the class against all other classes or, for an ordinal task, of labels above the median; None if it cannot
    be computed."""
    low: float | None
    """Lower end of the AUC's 95% interval from a cluster bootstrap; None if there is no interval."""
    high: float | None
    precision: float | None = None
    """Precision of the decisions for this class; None for an ordinal task, or if no decision is for this class."""
    n: int
    """Number of validation samples with a known label."""
    clusters: int

    @property
    def learned(self) -> bool:
        """Whether the AUC is clearly above chance."""
        return self.low is not None and self.low >= LEARNED_FROM


class TaskRecord(BaseModel):
    """A task with the calibration, thresholds and abstain band that were chosen on the validation split."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    name: str
    kind: Kind
    classes: Annotated[tuple[str, ...], Field(max_length=100_000)]
    weight: Annotated[float, Field(gt=0)] = 1.0
    values: Annotated[tuple[float, ...], Field(max_length=256)] = ()
    """Numbers that an ordinal task can predict; the prediction is their probability-weighted mean."""
    temperature: Annotated[float, Field(gt=0)] = 1.0
    """Divisor of the logits before softmax or sigmoid."""
    thresholds: dict[str, float] = Field(default_factory=dict)
    """Binary: {positive class: t}; multilabel: {attribute: t}. Scores of at least t are positive."""
    threshold_rule: str | None = None
    abstain: tuple[Probability, Probability] | None = None
    """[low, high): the model abstains if a binary score, or the probability of the top class, is in this band."""
    level_thresholds: LevelThresholdRecord | None = None
    """Thresholds that are used if the group of a sample is known, as in ``auxface evaluate``."""
    evidence: dict[str, Evidence] = Field(default_factory=dict)
    """Evidence by class or attribute or, for an ordinal task, by the name of the task; empty if not measured."""

    @model_validator(mode="after")
    def _check(self) -> "TaskRecord":
        if self.kind == "ordinal" and (len(self.values) < 2 or sorted(set(self.values)) != list(self.values)):
            raise ValueError("an ordinal task requires two or more values in ascending order")
        if (2 if self.kind == "binary" else 1) > len(self.classes):
            raise ValueError(f"a {self.kind} task requires class names")
        return self

    @classmethod
    def of(cls, task: LearnedTask, **calibration: Any) -> "TaskRecord":
        """Return the record of a task, including the fields that calibration sets."""
        return cls(
            name=task.name,
            kind=task.kind,
            classes=task.classes,
            weight=task.weight,
            values=task.values,
            **calibration,
        )

    def learned_task(self) -> LearnedTask:
        """Return the task on which the model was trained, without the options of its loss."""
        return LearnedTask(self.name, self.kind, self.classes, self.weight, self.values)

    def is_learned(self, name: str) -> bool | None:
        """Return whether the model has learned a class or attribute; None if this was not measured."""
        found = self.evidence.get(name)
        return None if found is None else found.learned

    def not_learned(self) -> list[str]:
        """Return the classes or attributes that were not learned according to their evidence."""
        return [name for name, found in self.evidence.items() if not found.learned]

    def scored_task(self) -> "ScoredTask":
        """Return the task in the form of a predictions table."""
        # Imported here because it imports pandas and scikit-learn, which a prediction does not need.
        from auxface.evaluation import LevelThresholds, ScoredTask

        levels = self.level_thresholds
        return ScoredTask(
            name=self.name,
            kind=self.kind,
            # An ordinal task has one column with its expected value instead of a score per class.
            classes=() if self.kind == "ordinal" else self.classes,
            thresholds=self.thresholds,
            threshold_rule=self.threshold_rule,
            abstain=self.abstain,
            level_thresholds=None if levels is None else LevelThresholds(levels.group, levels.thresholds),
        )


class VerificationRecord(BaseModel):
    """The minimum similarity at which two images are considered the same person, chosen on validation pairs."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    label: str
    """The identity label on which the model was trained."""
    threshold: float
    rule: Literal["balanced_accuracy"] = "balanced_accuracy"
    """Rule that minimizes the mean of the false match rate and the false non-match rate."""
    false_match_rate: float
    false_non_match_rate: float
    pairs: int
    people: int


class Selection(BaseModel):
    """The epoch of the model's weights, and the validation metric by which they were selected."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    split: Literal["train", "val", "test"]
    metric: str
    value: float | None
    epoch: int


class ModelConfig(BaseModel):
    """The content of ``config.json``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = 1
    recipe: Recipe
    tasks: Annotated[tuple[TaskRecord, ...], Field(max_length=1_000)]
    """Tasks of the model; empty for a model that was only pre-trained or only trained on identities."""
    crop: dict[str, Any] | None = None
    selection: Selection | None = None
    verification: VerificationRecord | None = None
    """Threshold for verification; None without an identity label, or if no person in the validation split has two
    images."""
    video_rule: Literal["mean", "median", "max"] = "mean"
    """How the scores of frames are combined into the score of a video."""
    provenance: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check(self) -> "ModelConfig":
        if not self.tasks and self.recipe.trains_tasks and self.recipe.primary.kind == "classification":
            raise ValueError("tasks is empty, but the recipe trains tasks")
        return self

    def require_tasks(self, name: str | Path) -> None:
        """Check that the model has at least one task.

        Args:
            name: model directory, used in the message.

        Raises:
            InputError: the model was pre-trained without a task.
        """
        if not self.tasks and self.recipe.trains_tasks:
            raise InputError(
                f"{name}: the model computes embeddings and predicts no label; use 'auxface embed', 'auxface search' "
                "or 'auxface evaluate --pairs'"
            )
        if not self.tasks:
            raise InputError(
                f"{name}: the model was pre-trained without a task and predicts nothing; train a task from its weights "
                f"with 'auxface train RECIPE --set encoder.init_from={name}'"
            )
