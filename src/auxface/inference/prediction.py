"""What a prediction is: typed, with class names in it, and easy to turn into JSON, a table or an image.

From scores to answers: class names, the stored threshold, the abstain band.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from auxface.inference.evaluated_models import calibrated
from auxface.model.config import TaskRecord

if TYPE_CHECKING:
    from matplotlib.figure import Figure


NO_FACE = "no face found"
COLUMNS = ("input", "face", "task", "class", "probability", "abstained", "x", "y", "width", "height", "reason")


@dataclass(frozen=True)
class Answer:
    """A model's answer to one task for one face.

    Attributes:
        answer: the class name; for attributes the names of those present; None when the model abstained.
        probability: of the likeliest class (for binary tasks, of the side that the threshold names); None for
            attributes.
        probabilities: class or attribute name to calibrated probability in [0, 1]; binary names both sides.
        threshold: the stored one of a binary task; per attribute for several; None for single-label tasks.
        abstained: whether the score lay in the model's abstain band.
        value: the predicted number of an ordinal task, whose ``answer`` is the nearest value of its scale; else None.
    """

    answer: str | list[str] | None
    probability: float | None
    probabilities: dict[str, float]
    threshold: float | dict[str, float] | None
    abstained: bool = False
    value: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """The answer as ``predict --json`` prints it."""
        number = {} if self.value is None else {"value": self.value}
        return number | {
            "class": self.answer,
            "probability": self.probability,
            "probabilities": self.probabilities,
            "threshold": self.threshold,
            "abstained": self.abstained,
        }

    def __str__(self) -> str:
        """What a person is shown: ``happy 83%``."""
        if self.abstained:
            return "no answer (unsure)"
        if self.value is not None:
            return f"{self.value:.1f}"
        said = ", ".join(self.answer) if isinstance(self.answer, list) else self.answer
        sure = "" if self.probability is None else f" {self.probability:.0%}"
        return f"{said or 'none'}{sure}"


@dataclass(frozen=True)
class Face:
    """One face: its box in the image, (x, y, width, height) in pixels, and an answer per task."""

    box: tuple[float, float, float, float]
    tasks: dict[str, Answer]

    def to_dict(self) -> dict[str, Any]:
        """The face as ``predict --json`` prints it."""
        return {"box": list(self.box), "tasks": {name: answer.to_dict() for name, answer in self.tasks.items()}}


@dataclass(frozen=True)
class Prediction:
    """What was found in one input.

    Attributes:
        input: its path or address, or its place among the inputs.
        faces: every face, from left to right.
        reason: why ``faces`` is empty; None where it is not.
        source: the input itself, for :meth:`plot`.
    """

    input: str
    faces: tuple[Face, ...]
    reason: str | None = None
    source: Any = field(default=None, repr=False, compare=False)

    @property
    def unreadable(self) -> bool:
        """Whether the input is no image (or video), in contrast to one that shows no face."""
        return self.reason is not None and not self.reason.startswith(NO_FACE)

    def to_dict(self) -> dict[str, Any]:
        """The prediction as ``predict --json`` prints it."""
        return {"input": self.input, "reason": self.reason, "faces": [face.to_dict() for face in self.faces]}

    def to_frame(self) -> pd.DataFrame:
        """A row per face and task, with :data:`COLUMNS`; without a face one row that holds the reason."""
        rows = [
            {
                "input": self.input,
                "face": number,
                "task": name,
                "class": "|".join(answer.answer) if isinstance(answer.answer, list) else answer.answer,
                "probability": answer.probability,
                "abstained": answer.abstained,
            }
            | dict(zip(("x", "y", "width", "height"), face.box, strict=True))
            for number, face in enumerate(self.faces)
            for name, answer in face.tasks.items()
        ]
        return pd.DataFrame(rows or [{"input": self.input, "reason": self.reason}], columns=list(COLUMNS))

    def plot(self) -> "Figure":
        """The image with its faces boxed and labeled, as a matplotlib figure.

        Raises:
            InputError: the input cannot be read (again).
        """
        from auxface.inference.drawing import prediction_figure

        return prediction_figure(self)


def lines(predictions: Sequence[Prediction]) -> Iterator[str]:
    """Predictions for a terminal: a line per face and task, or why there is none."""
    for one in predictions:
        if not one.faces:
            yield f"{one.input}: no answer ({one.reason})"
        for name, answer in getattr(one, "tasks", {}).items():
            yield f"{one.input}: {name} {answer} (whole video)"
        for number, face in enumerate(one.faces):
            place = f" face {number}" if len(one.faces) > 1 else ""
            for name, answer in face.tasks.items():
                yield f"{one.input}:{place} {name} {answer}"


_FORGED = ("forged", "fake", "deepfake", "manipulated", "altered")


def answers_from_logits(task: TaskRecord, logits: np.ndarray) -> list[Answer]:
    """Logits [N, outputs] of N faces to their answers."""
    return answers_from_scores(task, calibrated(task, logits))


def answers_from_scores(task: TaskRecord, scores: np.ndarray) -> list[Answer]:
    """Calibrated probabilities [N, outputs] of N faces to their answers."""
    make = {"multilabel": _several, "binary": _binary, "ordinal": _number}.get(task.kind, _single)
    return [make(task, row) for row in np.asarray(scores, np.float64).tolist()]


def _several(task: TaskRecord, scores: list[float]) -> Answer:
    by_name = dict(zip(task.classes, scores, strict=True))
    thresholds = {name: task.thresholds.get(name, 0.5) for name in task.classes}
    present = [name for name, score in by_name.items() if score >= thresholds[name]]
    return Answer(present, None, by_name, thresholds)


def _binary(task: TaskRecord, scores: list[float]) -> Answer:
    negative, positive = task.classes
    threshold = task.thresholds.get(positive, 0.5)
    by_name = {negative: 1 - scores[0], positive: scores[0]}
    side = positive if scores[0] >= threshold else negative
    abstained = task.abstain is not None and task.abstain[0] <= scores[0] < task.abstain[1]
    return Answer(None if abstained else side, by_name[side], by_name, threshold, abstained)


def _number(task: TaskRecord, scores: list[float]) -> Answer:
    value = sum(number * share for number, share in zip(task.values, scores, strict=True))
    nearest = min(range(len(task.values)), key=lambda place: abs(task.values[place] - value))
    return Answer(task.classes[nearest], None, dict(zip(task.classes, scores, strict=True)), None, value=value)


def _single(task: TaskRecord, scores: list[float]) -> Answer:
    by_name = dict(zip(task.classes, scores, strict=True))
    likeliest = max(by_name, key=by_name.__getitem__)
    sure = by_name[likeliest]
    abstained = task.abstain is not None and task.abstain[0] <= sure < task.abstain[1]
    return Answer(None if abstained else likeliest, sure, by_name, None, abstained)


def finds_forgeries(task: TaskRecord) -> bool:
    """Whether a task tells forged faces from real ones, by the names of its classes."""
    return task.kind == "binary" and any(name.lower() in _FORGED for name in task.classes)


def meaning(task: TaskRecord) -> str | None:
    """A sentence on what the score of a forgery task does and does not mean; None for other tasks."""
    if not finds_forgeries(task):
        return None
    positive = task.classes[1]
    return (
        f"The score of '{task.name}' says how much a face resembles those called '{positive}' in the training data. It "
        "is no proof: forgeries made in other ways, compression and retouching can move it either way, and a low "
        "score does not show that an image is genuine."
    )
