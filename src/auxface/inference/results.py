"""What a prediction is: typed, with class names in it, and easy to turn into JSON or a table."""

from dataclasses import dataclass
from typing import Any

import pandas as pd


@dataclass(frozen=True)
class Answer:
    """A model's answer to one task for one face.

    Attributes:
        answer: the class name; for attributes the names of those present; None when the model abstained.
        probability: of the named class (for binary tasks, of the named side); None for attributes.
        probabilities: class or attribute name to calibrated probability in [0, 1]; binary names both sides.
        threshold: the stored one of a binary task; per attribute for several; None for single-label tasks.
        abstained: whether the score lay in the model's abstain band.
    """

    answer: str | list[str] | None
    probability: float | None
    probabilities: dict[str, float]
    threshold: float | dict[str, float] | None
    abstained: bool = False

    def to_dict(self) -> dict[str, Any]:
        """The answer as ``predict --json`` prints it."""
        return {
            "class": self.answer,
            "probability": self.probability,
            "probabilities": self.probabilities,
            "threshold": self.threshold,
            "abstained": self.abstained,
        }


@dataclass(frozen=True)
class Face:
    """One face: its box in the picture, (x, y, width, height) in pixels, and an answer per task."""

    box: tuple[float, float, float, float]
    tasks: dict[str, Answer]


@dataclass(frozen=True)
class Prediction:
    """What was found in one input; ``reason`` says why ``faces`` is empty."""

    input: str
    faces: tuple[Face, ...]
    reason: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The prediction as ``predict --json`` prints it."""
        faces = [
            {"box": list(face.box), "tasks": {name: answer.to_dict() for name, answer in face.tasks.items()}}
            for face in self.faces
        ]
        return {"input": self.input, "reason": self.reason, "faces": faces}

    def to_frame(self) -> pd.DataFrame:
        """A row per face and task: input, face, task, class, probability, and box columns; no rows without a face."""
        rows = [
            {
                "input": self.input,
                "face": number,
                "task": name,
                "class": answer.answer,
                "probability": answer.probability,
            }
            | dict(zip(("x", "y", "width", "height"), face.box, strict=True))
            for number, face in enumerate(self.faces)
            for name, answer in face.tasks.items()
        ]
        columns = ["input", "face", "task", "class", "probability", "x", "y", "width", "height"]
        return pd.DataFrame(rows, columns=columns)
