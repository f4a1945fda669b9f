"""Explain a model's answers for the faces of one image: saliency maps and reconstruction errors.

    [explanation] = explain_image(predictor, "photo.jpg")
    explanation.gradients, explanation.reconstructions[0].error

:func:`explain` draws the explanations of an image file to a PNG.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from auxface.atomic import atomic_file, refuse_existing
from auxface.data.faces.settings import DetectorName
from auxface.device import check_device
from auxface.errors import InputError
from auxface.inference.answers import Answer
from auxface.inference.predict import print_note
from auxface.inference.prediction import Face
from auxface.inference.predictor import Predictor, TorchScorer
from auxface.inference.preprocessing import FacesMode, ImageInput
from auxface.inference.reconstruction_error import reconstruction_errors
from auxface.inference.saliency import attention_rollout, input_gradients
from auxface.model.config import TaskRecord
from auxface.model.scoring import full_precision

_MAX_FACES = 6


@dataclass(frozen=True)
class ReconstructionMap:
    """One reconstruction target of a face, its reconstruction, and the error of each patch.

    Attributes:
        name: ``rgb`` or the name of a texture descriptor.
        target: uint8 [S, S, 3].
        reconstruction: uint8 [S, S, 3]; each patch as reconstructed while it was hidden.
        error: float32 [rows, columns], in ``unit``.
        unit: Unit of the error.
    """

    name: str
    target: np.ndarray
    reconstruction: np.ndarray
    error: np.ndarray
    unit: str


@dataclass(frozen=True)
class Explanation:
    """The explanation of one face for one task.

    Attributes:
        face: Box and answers.
        image: uint8 [S, S, 3], the face crop that was given to the model.
        task: The task whose answer the gradients explain.
        output: The class whose logit the gradients are taken of.
        attention: float32 [rows, columns], summing to 1; None for encoders without attention over patches.
        gradients: float32 [rows, columns], summing to 1.
        reconstructions: One per target of the model's auxiliary task; empty for a model without reconstruction.
    """

    face: Face
    image: np.ndarray
    task: str
    output: str
    attention: np.ndarray | None
    gradients: np.ndarray
    reconstructions: tuple[ReconstructionMap, ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        """Return box, answers and maps, without images, as plain JSON. ``surprise`` holds the reconstruction errors."""
        return {
            "face": self.face.to_dict(),
            "task": self.task,
            "output": self.output,
            "attention": None if self.attention is None else self.attention.tolist(),
            "gradients": self.gradients.tolist(),
            "surprise": {one.name: {"unit": one.unit, "patches": one.error.tolist()} for one in self.reconstructions},
        }


def explain(
    model: str | Path,
    image: Path,
    out: Path,
    *,
    task: str | None = None,
    face: int | None = None,
    faces: FacesMode = "auto",
    detector: DetectorName | None = None,
    weights: Path | None = None,
    device: str = "auto",
    overwrite: bool = False,
) -> list[Explanation]:
    """Explain the answers for each face of an image (at most six) and draw the explanations to a PNG.

    Args:
        model: A model directory or a hub name.
        image: Path of the image.
        out: The PNG to write.
        task: The task to explain; by default the first.
        face: Index of the one face to explain, from 0; by default all faces.
        faces: See :class:`auxface.Predictor`.
        detector: See :class:`auxface.Predictor`.
        weights: See :class:`auxface.Predictor`.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        overwrite: Replace ``out`` if it exists.

    Raises:
        InputError: The image shows no face, the model is an exported file, or the output exists or is not a PNG.

    Example:
        >>> from pathlib import Path
        >>> import auxface
        >>> explanation, = auxface.explain("runs/a", next(Path("faces").glob("*.png")), Path("explanation.png"))
        >>> explanation.task
        'emotion'
    """
    from auxface.inference.explanation_figure import explanation_figure

    if out.suffix.lower() != ".png":
        raise InputError(f"{out}: an explanation is written as PNG; name a file that ends in .png")
    refuse_existing(out, overwrite)
    check_device(device)
    predictor = Predictor.from_pretrained(
        model, device=device, faces=faces, detector=detector, weights=weights, warn=print_note
    )
    try:
        explanations = explain_image(predictor, image, task=task, face=face)[:_MAX_FACES]
    except InputError as error:
        raise InputError(f"{image}: {error}") from None
    with atomic_file(out) as temporary:
        temporary.write_bytes(explanation_figure(explanations))
    return explanations


def explain_image(
    predictor: Predictor, image: ImageInput, *, task: str | None = None, face: int | None = None, seed: int = 0
) -> list[Explanation]:
    """Return the explanations of the faces of one image, from left to right.

    Args:
        predictor: A predictor of a model directory; an exported file has no gradients.
        image: Anything that a predictor accepts as an image.
        task: The task to explain; by default the first.
        face: Index of the one face to explain, from 0; by default all faces.
        seed: Seed of the noise and the masks.

    Raises:
        InputError: The model is an exported file, the task or face does not exist, or the image has no face or cannot
            be read.
    """
    if not isinstance(predictor.scorer, TorchScorer):
        raise InputError("an exported model has no gradients to explain with; use its model directory")
    record = _task_record(predictor.config.tasks, task)
    crops, reason = predictor.crop_faces(image)
    if not crops:
        raise InputError(f"nothing to explain: {reason}")
    if face is not None:
        if not 0 <= face < len(crops):
            raise InputError(f"face {face} does not exist; the image has {len(crops)}, counted from 0")
        crops = [crops[face]]
    answers = predictor.predict_crops([crop.pixels for crop in crops])
    with full_precision(next(predictor.scorer.model.parameters()).device):
        return [
            _explain_face(predictor.scorer, Face(crop.box, answer), crop.pixels, record, seed)
            for crop, answer in zip(crops, answers, strict=True)
        ]


def _task_record(tasks: Sequence[TaskRecord], name: str | None) -> TaskRecord:
    for record in tasks:
        if name in (None, record.name):
            return record
    raise InputError(f"the model has no task '{name}'; its tasks are {', '.join(record.name for record in tasks)}")


def _explain_face(scorer: TorchScorer, face: Face, crop: np.ndarray, record: TaskRecord, seed: int) -> Explanation:
    model = scorer.model
    device = next(model.parameters()).device
    pixels = torch.from_numpy(np.ascontiguousarray(crop.transpose(2, 0, 1)))[None].to(device)
    images = pixels.float() / 255
    output, name = _explained_output(record, face.tasks[record.name])
    attention = attention_rollout(model, images)
    reconstructions = tuple(
        ReconstructionMap(
            result.target.key,
            _to_uint8(result.target_image[0]),
            _to_uint8(result.reconstruction[0]),
            result.error[0].float().cpu().numpy(),
            result.unit,
        )
        for result in reconstruction_errors(model, pixels, seed=seed)
    )
    return Explanation(
        face,
        crop,
        record.name,
        name,
        None if attention is None else attention[0].cpu().numpy(),
        input_gradients(model, images, record.name, output, seed=seed)[0].cpu().numpy(),
        reconstructions,
    )


def _explained_output(record: TaskRecord, answer: Answer) -> tuple[int, str]:
    """Return the index of the logit that the answer depends on, and the class that it stands for."""
    if record.kind == "binary":
        return 0, record.classes[1]
    most_likely = max(answer.probabilities, key=answer.probabilities.__getitem__)
    if record.kind == "ordinal":
        return 0, most_likely
    return list(answer.probabilities).index(most_likely), most_likely


def _to_uint8(image: torch.Tensor) -> np.ndarray:
    return (image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
