"""From scores to answers: class names, the stored threshold, the abstain band."""

import numpy as np

from auxface.inference.predictions import calibrated
from auxface.inference.results import Answer
from auxface.model.config import TaskRecord

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
        "score does not show that a picture is genuine."
    )
