"""Why a model answered so: where it looked, and what it can and cannot rebuild of the face."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from auxface.errors import InputError
from auxface.inference.attention import attention_rollout, input_gradients
from auxface.inference.predictor import Picture, Predictor, TorchScorer
from auxface.inference.results import Answer, Face
from auxface.inference.surprise import reconstruction_surprise
from auxface.model.config import TaskRecord
from auxface.model.scoring import full_precision


@dataclass(frozen=True)
class Texture:
    """What was to be rebuilt of a face, and what was.

    Attributes:
        name: ``rgb`` or a texture descriptor.
        wanted: uint8 [S, S, 3].
        rebuilt: uint8 [S, S, 3]; each patch as rebuilt while it was hidden.
        surprise: float32 [rows, columns], the error of each patch.
        unit: of the surprise.
    """

    name: str
    wanted: np.ndarray
    rebuilt: np.ndarray
    surprise: np.ndarray
    unit: str


@dataclass(frozen=True)
class Explanation:
    """One face explained for one task.

    Attributes:
        face: box and answers.
        picture: uint8 [S, S, 3], the face as the model saw it.
        task: whose answer is explained by the gradients.
        output: the class whose score they move.
        attention: float32 [rows, columns], summing to 1; None for encoders without attention over patches.
        gradients: float32 [rows, columns], summing to 1.
        textures: one per target of the model's auxiliary task; empty where it has none.
    """

    face: Face
    picture: np.ndarray
    task: str
    output: str
    attention: np.ndarray | None
    gradients: np.ndarray
    textures: tuple[Texture, ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        """Box, answers and every map as plain JSON; pictures are left out."""
        return {
            "face": self.face.to_dict(),
            "task": self.task,
            "output": self.output,
            "attention": None if self.attention is None else self.attention.tolist(),
            "gradients": self.gradients.tolist(),
            "surprise": {
                texture.name: {"unit": texture.unit, "patches": texture.surprise.tolist()} for texture in self.textures
            },
        }


def explain(
    predictor: Predictor, picture: Picture, *, task: str | None = None, only: int | None = None, seed: int = 0
) -> list[Explanation]:
    """Explain the answers for the faces of one picture, from left to right.

    Args:
        predictor: of a model directory; an exported file has no gradients.
        picture: anything that the predictor takes.
        task: which answer; the first task by default.
        only: the place of the one face to explain.
        seed: of the noise and the masks; the same explanation every time.

    Raises:
        InputError: an exported model, an unknown task, a face that is not there, or a picture without one (with the
            reason).
    """
    if not isinstance(predictor.scorer, TorchScorer):
        raise InputError("an exported model has no gradients to explain with; use its model directory")
    record = _record(predictor.config.tasks, task)
    shown, reason = predictor.look(picture)
    if not shown:
        raise InputError(f"nothing to explain: {reason}")
    if only is not None:
        if not 0 <= only < len(shown):
            raise InputError(f"there is no face {only}; the picture has {len(shown)}, counted from 0")
        shown = [shown[only]]
    answers = predictor.answer([face.square for face in shown])
    faces = [Face(face.box, answer) for face, answer in zip(shown, answers, strict=True)]
    with full_precision(next(predictor.scorer.model.parameters()).device):
        return [
            _explained(predictor.scorer, face, looked.square, record, seed)
            for face, looked in zip(faces, shown, strict=True)
        ]


def _record(tasks: Sequence[TaskRecord], name: str | None) -> TaskRecord:
    for record in tasks:
        if name in (None, record.name):
            return record
    raise InputError(f"the model has no task '{name}'; it has {', '.join(record.name for record in tasks)}")


def _explained(scorer: TorchScorer, face: Face, square: np.ndarray, record: TaskRecord, seed: int) -> Explanation:
    model = scorer.model
    device = next(model.parameters()).device
    pixels = torch.from_numpy(np.ascontiguousarray(square.transpose(2, 0, 1)))[None].to(device)
    images = pixels.float() / 255
    output, name = _output(record, face.tasks[record.name])
    attention = attention_rollout(model, images)
    textures = tuple(
        Texture(
            made.target.name,
            _to_bytes(made.wanted[0]),
            _to_bytes(made.rebuilt[0]),
            made.error[0].float().cpu().numpy(),
            made.unit,
        )
        for made in reconstruction_surprise(model, pixels, seed=seed)
    )
    return Explanation(
        face,
        square,
        record.name,
        name,
        None if attention is None else attention[0].cpu().numpy(),
        input_gradients(model, images, record.name, output, seed=seed)[0].cpu().numpy(),
        textures,
    )


def _output(record: TaskRecord, answer: Answer) -> tuple[int, str]:
    """Which logit the answer stands on, and the name of what it speaks for."""
    if record.kind == "binary":
        return 0, record.classes[1]
    likeliest = max(answer.probabilities, key=answer.probabilities.__getitem__)
    if record.kind == "ordinal":
        return 0, likeliest
    return list(answer.probabilities).index(likeliest), likeliest


def _to_bytes(picture: torch.Tensor) -> np.ndarray:
    return (picture.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
