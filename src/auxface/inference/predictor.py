"""A model directory as an object that answers for pictures."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from auxface.data.decode import UnreadablePicture, fit_square, read_picture
from auxface.errors import InputError
from auxface.inference.predictions import calibrated
from auxface.inference.results import Answer, Face, Prediction
from auxface.model.config import TaskRecord
from auxface.model.directory import SavedModel, load_model
from auxface.model.scoring import score_pictures

Picture = str | Path | bytes | np.ndarray | torch.Tensor | Image.Image


class Predictor:
    """Answers for pictures of faces.

    Args:
        saved: the model with its configuration.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
    """

    def __init__(self, saved: SavedModel, device: str = "auto") -> None:
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        self.model = saved.model.to(device)
        self.config = saved.config

    @classmethod
    def from_pretrained(cls, folder: str | Path, device: str = "auto") -> "Predictor":
        """Read a model directory.

        Raises:
            InputError: not a model directory, or a broken one.
        """
        return cls(load_model(Path(folder)), device)

    def __call__(self, pictures: Picture | Iterable[Picture]) -> Prediction | list[Prediction]:
        """One prediction for one picture, a list for several.

        A picture is a path, encoded bytes, a PIL image, a uint8 RGB array [H, W, 3] or a uint8 tensor [3, H, W]. One
        that cannot be read gives a prediction without faces that says why.
        """
        if isinstance(pictures, (str, Path, bytes, np.ndarray, torch.Tensor, Image.Image)):
            return self.predict([pictures])[0]
        return self.predict(list(pictures))

    def predict(self, pictures: Sequence[Picture]) -> list[Prediction]:
        """One prediction per picture, in order."""
        size = self.config.recipe.encoder.image_size
        results: list[Prediction | None] = [None] * len(pictures)
        places: list[int] = []
        squares: list[np.ndarray] = []
        boxes: list[tuple[float, float, float, float]] = []
        for place, picture in enumerate(pictures):
            try:
                pixels = read_any(picture)
            except UnreadablePicture as error:
                results[place] = Prediction(_name(picture, place), (), str(error))
                continue
            places.append(place)
            squares.append(fit_square(pixels, size).transpose(2, 0, 1))
            boxes.append((0.0, 0.0, float(pixels.shape[1]), float(pixels.shape[0])))
        if places:
            logits = score_pictures(self.model, np.stack(squares))
            for row, place in enumerate(places):
                answers = {task.name: answer_for(task, logits[task.name][row]) for task in self.config.tasks}
                results[place] = Prediction(_name(pictures[place], place), (Face(boxes[row], answers),))
        return [result for result in results if result is not None]


def answer_for(task: TaskRecord, logits: np.ndarray) -> Answer:
    """Logits of one face, [outputs], to class names and calibrated probabilities."""
    scores = [float(score) for score in calibrated(task, logits[None])[0]]
    if task.kind == "multilabel":
        by_name = dict(zip(task.classes, scores, strict=True))
        thresholds = {name: task.thresholds.get(name, 0.5) for name in task.classes}
        present = [name for name, score in by_name.items() if score >= thresholds[name]]
        return Answer(present, None, by_name, thresholds)
    if task.kind == "binary":
        negative, positive = task.classes
        threshold = task.thresholds.get(positive, 0.5)
        by_name = {negative: 1 - scores[0], positive: scores[0]}
        answer = positive if scores[0] >= threshold else negative
        return Answer(answer, by_name[answer], by_name, threshold)
    by_name = dict(zip(task.classes, scores, strict=True))
    answer = max(by_name, key=by_name.__getitem__)
    return Answer(answer, by_name[answer], by_name, None)


def read_any(picture: Picture) -> np.ndarray:
    """Any accepted kind of picture to uint8 RGB [H, W, 3].

    Raises:
        UnreadablePicture: a file or bytes that do not hold a picture.
        InputError: an array or tensor of another shape or type.
    """
    if isinstance(picture, (str, Path)):
        return read_picture(Path(picture))
    if isinstance(picture, bytes):
        return read_picture(picture)
    if isinstance(picture, Image.Image):
        return np.asarray(picture.convert("RGB"))
    if isinstance(picture, torch.Tensor):
        if picture.dtype != torch.uint8 or picture.ndim != 3 or picture.shape[0] != 3:
            raise InputError(f"a tensor must be uint8 [3, H, W], RGB; got {picture.dtype} {list(picture.shape)}")
        return picture.permute(1, 2, 0).cpu().numpy()
    if isinstance(picture, np.ndarray):
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
            raise InputError(f"an array must be uint8 [H, W, 3], RGB; got {picture.dtype} {list(picture.shape)}")
        return picture
    raise InputError(f"expected a path, bytes, PIL image, array or tensor; got {type(picture).__name__}")


def _name(picture: Picture, place: int) -> str:
    return str(picture) if isinstance(picture, (str, Path)) else f"picture {place}"
