"""Convert logits to answers, using the temperature, thresholds and abstain band that are stored with each task.

A task's :class:`~auxface.model.config.TaskRecord` holds the temperature, thresholds and abstain band that training
chose on the validation split.

Example::

    answers = answers_from_logits(task, logits)    # logits [N, outputs], one Answer per face
    answers[0].answer, answers[0].probabilities
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from auxface.errors import InputError
from auxface.inference.face_tracks import Box
from auxface.model.config import TaskRecord
from auxface.objectives import expected_value, probabilities

# The headline of an answer includes the names whose precision on the validation split is at least this value, or whose
# probability exceeds one half.
RELIABLE_PRECISION = 0.8
_FORGED = ("forged", "fake", "deepfake", "manipulated", "altered")


@dataclass(frozen=True)
class Answer:
    """A model's answer for one task and one face.

    Attributes:
        answer: name of the predicted class; for a multi-label task, the names of the predicted attributes. None if the
            model abstained or has not learned the class. Attributes that the model has not learned are never included.
        probability: probability of the predicted class; None for multi-label and ordinal tasks.
        probabilities: calibrated probability in [0, 1] of every class or attribute (for a binary task, of both
            classes).
        threshold: stored threshold of a binary task, or one threshold per attribute of a multi-label task; otherwise
            None.
        abstained: whether the score lies in the abstain band of the model.
        value: expected value for an ordinal task, whose ``answer`` is the nearest value on its scale; otherwise None.
        learned: whether the model has learned the predicted class (for a multi-label task, any attribute),
            according to the AUC on the validation split; None if the AUC was not measured.
        not_learned: names of the classes or attributes that the model has not learned.
        headline: names in the answer whose precision on the validation split is at least 0.8 or whose probability
            exceeds one half.
    """

    answer: str | list[str] | None
    probability: float | None
    probabilities: dict[str, float]
    threshold: float | dict[str, float] | None
    abstained: bool = False
    value: float | None = None
    learned: bool | None = None
    not_learned: tuple[str, ...] = ()
    headline: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the answer in the form that ``predict --json`` prints."""
        number = {} if self.value is None else {"value": self.value}
        return number | {
            "class": self.answer,
            "probability": self.probability,
            "probabilities": self.probabilities,
            "threshold": self.threshold,
            "abstained": self.abstained,
            "learned": self.learned,
            "not_learned": list(self.not_learned),
            "headline": list(self.headline),
        }

    def __str__(self) -> str:
        """Return a short human-readable text, such as ``happy 83%``."""
        if self.learned is False:
            top = max(self.probabilities, key=self.probabilities.__getitem__)
            what = f"{top} is not learned: its" if top in self.not_learned else "not learned: the"
            return f"no answer ({what} validation AUC is not clearly above chance)"
        if self.abstained:
            top = max(self.probabilities, key=self.probabilities.__getitem__)
            return f"no answer (too uncertain, in the model's abstain band; {top} {self.probabilities[top]:.0%})"
        if self.value is not None:
            return f"{self.value:.1f}"
        if isinstance(self.answer, list):
            less = [name for name in self.answer if name not in self.headline]
            parts = [", ".join(self.headline) or "none", f"less certain: {', '.join(less)}" if less else ""]
            parts += [f"not learned: {', '.join(self.not_learned)}" if self.not_learned else ""]
            return "; ".join(filter(None, parts))
        percent = "" if self.probability is None else f" {self.probability:.0%}"
        return f"{self.answer}{percent}" + ("" if self.headline else " (less certain)")


@dataclass(frozen=True)
class Face:
    """One face: its box (x, y, width, height) in pixels of the image, and one answer per task."""

    box: Box
    tasks: dict[str, Answer]

    def to_dict(self) -> dict[str, Any]:
        """Return the face in the form that ``predict --json`` prints."""
        return {"box": list(self.box), "tasks": {name: answer.to_dict() for name, answer in self.tasks.items()}}


def answers_from_logits(task: TaskRecord, logits: np.ndarray) -> list[Answer]:
    """Return one answer per row of logits [N, outputs]."""
    return answers_from_scores(task, calibrated_scores(task, logits))


def answers_from_scores(task: TaskRecord, scores: np.ndarray) -> list[Answer]:
    """Return one answer per row of calibrated probabilities [N, outputs]."""
    make = {"multilabel": _multilabel, "binary": _binary, "ordinal": _ordinal}.get(task.kind, _single_label)
    return [make(task, row) for row in np.asarray(scores, np.float64).tolist()]


def calibrated_scores(task: TaskRecord, logits: np.ndarray) -> np.ndarray:
    """Convert logits [N, outputs] to probabilities at the stored temperature, float32 [N, outputs].

    Raises:
        InputError: a logit is not a finite number.
    """
    if not np.isfinite(logits).all():
        raise InputError(f"the model's scores for task '{task.name}' are not finite; its weights are corrupt")
    return probabilities(task.learned_task(), torch.as_tensor(logits), task.temperature).numpy()


def ordinal_values(task: TaskRecord, logits: np.ndarray) -> np.ndarray:
    """Return the expected values of an ordinal task, float32 [N], for logits [N, outputs] at the stored temperature."""
    return expected_value(task.learned_task(), torch.as_tensor(logits), task.temperature).numpy()


def forgery_note(task: TaskRecord) -> str | None:
    """Return a note on the meaning of the score of a forgery task; None for other tasks.

    A forgery task is a binary task with a class called ``forged``, ``fake``, ``deepfake``, ``manipulated`` or
    ``altered``.
    """
    if task.kind != "binary" or not any(name.lower() in _FORGED for name in task.classes):
        return None
    positive = task.classes[1]
    return (
        f"The score of '{task.name}' measures how similar a face is to the faces labeled '{positive}' in the training "
        "data. It is not proof: other forgery methods, compression and retouching can raise or lower it, and a low "
        "score does not show that an image is genuine."
    )


def _multilabel(task: TaskRecord, scores: list[float]) -> Answer:
    by_name = dict(zip(task.classes, scores, strict=True))
    thresholds = {name: task.thresholds.get(name, 0.5) for name in task.classes}
    unknown = tuple(task.not_learned())
    present = [name for name, score in by_name.items() if score >= thresholds[name] and name not in unknown]
    headline = tuple(name for name in present if _is_reliable(task, name, by_name[name]))
    learned = len(unknown) < len(task.classes) if task.evidence else None
    return Answer(present, None, by_name, thresholds, learned=learned, not_learned=unknown, headline=headline)


def _binary(task: TaskRecord, scores: list[float]) -> Answer:
    negative, positive = task.classes
    threshold = task.thresholds.get(positive, 0.5)
    by_name = {negative: 1 - scores[0], positive: scores[0]}
    name = positive if scores[0] >= threshold else negative
    return _one_class(task, name, by_name, threshold, _in_abstain_band(task, scores[0]))


def _ordinal(task: TaskRecord, scores: list[float]) -> Answer:
    value = sum(level * probability for level, probability in zip(task.values, scores, strict=True))
    nearest = task.classes[min(range(len(task.values)), key=lambda index: abs(task.values[index] - value))]
    learned = task.is_learned(task.name)
    answer = None if learned is False else nearest
    return Answer(
        answer,
        None,
        dict(zip(task.classes, scores, strict=True)),
        None,
        value=value,
        learned=learned,
        headline=() if answer is None else (answer,),
    )


def _single_label(task: TaskRecord, scores: list[float]) -> Answer:
    by_name = dict(zip(task.classes, scores, strict=True))
    name = max(by_name, key=by_name.__getitem__)
    return _one_class(task, name, by_name, None, _in_abstain_band(task, by_name[name]))


def _one_class(
    task: TaskRecord, name: str, by_name: dict[str, float], threshold: float | None, in_band: bool
) -> Answer:
    learned = task.is_learned(name)
    answer = None if in_band or learned is False else name
    reliable = answer is not None and _is_reliable(task, name, by_name[name])
    return Answer(
        answer,
        by_name[name],
        by_name,
        threshold,
        in_band,
        learned=learned,
        not_learned=tuple(task.not_learned()),
        headline=(name,) if reliable else (),
    )


def _is_reliable(task: TaskRecord, name: str, probability: float) -> bool:
    found = task.evidence.get(name)
    precision = None if found is None else found.precision
    return probability > 0.5 or (precision is not None and precision >= RELIABLE_PRECISION)


def _in_abstain_band(task: TaskRecord, score: float) -> bool:
    return task.abstain is not None and task.abstain[0] <= score < task.abstain[1]
