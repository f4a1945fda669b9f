"""A model as an object that answers for images."""

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from auxface.data.faces.settings import DetectorName
from auxface.data.images.decode import UnreadableImage
from auxface.data.parallel import in_order
from auxface.device import resolve_device
from auxface.inference.prediction import NO_FACE, Answer, Face, Prediction, answers_from_logits
from auxface.inference.preprocessing import (
    IMAGE_TYPES,
    FacesMode,
    ImageInput,
    Shown,
    WholeFraming,
    make_framing,
    name_of,
    read_any,
)
from auxface.model.config import ModelConfig
from auxface.model.directory import SavedModel
from auxface.model.hub import fetch_model
from auxface.model.scoring import score_images, suitable_batch

_BATCH = 64
# An image this far from square, or this much larger than the input, is seldom one face.
_NOT_A_FACE = 1.5


class Scorer(Protocol):
    """Anything that has a model's configuration and gives logits: a directory's model, or an ONNX file."""

    config: ModelConfig
    batch_size: int

    def score_images(self, images: np.ndarray, *, batch_size: int | None = None) -> dict[str, np.ndarray]:
        """uint8 [N, 3, S, S] to logits per task, float32 [N, outputs]."""
        ...


class TorchScorer:
    """The model of a directory, on a device."""

    def __init__(self, saved: SavedModel, device: str = "auto") -> None:
        device = resolve_device(device)
        self.model = saved.model.to(device).eval()
        self.config = saved.config
        self.batch_size = suitable_batch(device, saved.config.recipe.encoder.image_size)

    def score_images(self, images: np.ndarray, *, batch_size: int | None = None) -> dict[str, np.ndarray]:
        """uint8 [N, 3, S, S] to logits per task, float32 [N, outputs]."""
        return score_images(self.model, images, batch_size=batch_size or self.batch_size)


class Predictor:
    """Answers for images of people.

    Args:
        scorer: the model.
        faces: ``auto``: faces are found and cut as when the model was trained; ``crop``: always; ``whole``: never.
        detector: ``yunet`` or ``haar`` in place of the recorded one.
        weights: YuNet's file, in place of ``AUXFACE_YUNET`` or the downloaded one.
        allow_urls: whether http(s) addresses are fetched.
        warn: told what differs from training; by default a Python warning.

    Raises:
        InputError: the detector cannot be had.
    """

    def __init__(
        self,
        scorer: Scorer,
        *,
        faces: FacesMode = "auto",
        detector: DetectorName | None = None,
        weights: Path | None = None,
        allow_urls: bool = False,
        warn: Callable[[str], None] = warnings.warn,
    ) -> None:
        self.scorer = scorer
        self.config = scorer.config
        self.size = self.config.recipe.encoder.image_size
        self.allow_urls = allow_urls
        self._warn = warn
        self._warned = False
        self.framing = make_framing(
            self.config.crop, self.size, faces=faces, detector=detector, weights=weights, warn=warn
        )

    @classmethod
    def from_pretrained(
        cls,
        model: str | Path,
        *,
        device: str = "auto",
        revision: str | None = None,
        faces: FacesMode = "auto",
        detector: DetectorName | None = None,
        weights: Path | None = None,
        allow_urls: bool = False,
        warn: Callable[[str], None] = warnings.warn,
    ) -> "Predictor":
        """Read a model directory, an exported ``.onnx`` file, or a model of the Hugging Face Hub by its name.

        Args:
            model: what to read.
            device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
            revision: branch, tag or commit of a hub name.
            faces: see the class, as for the others.
            detector: likewise.
            weights: likewise.
            allow_urls: likewise.
            warn: likewise.

        Raises:
            InputError: not a model, a broken one, or one that cannot be fetched.
        """
        scorer: Scorer
        if str(model).endswith(".onnx"):
            from auxface.inference.onnx_model import OnnxModel

            scorer = OnnxModel(Path(model), device)
        else:
            scorer = TorchScorer(fetch_model(model, revision), device)
        return cls(scorer, faces=faces, detector=detector, weights=weights, allow_urls=allow_urls, warn=warn)

    @classmethod
    def sharing(cls, other: "Predictor", scorer: Scorer) -> "Predictor":
        """One that frames faces as another does, with a scorer of its own."""
        made = cls.__new__(cls)
        made.__dict__ |= other.__dict__ | {"scorer": scorer, "config": scorer.config}
        return made

    def save_pretrained(self, folder: str | Path, *, report: Mapping[str, Any] | None = None) -> None:
        """Write the model directory with thresholds, calibration and records; an audit goes into its card.

        In a folder that exists, files of the same names are replaced and all others stay.

        Raises:
            InputError: the model is an exported file, which holds no weights to train on.
        """
        from auxface.model.directory import save_model

        save_model(self._torch().model, Path(folder), self.config, report)

    def push_to_hub(
        self, name: str, *, report: Mapping[str, Any] | None = None, private: bool = True, token: str | None = None
    ) -> str:
        """Upload the model directory to the Hugging Face Hub, and return its address.

        Raises:
            InputError: as :meth:`save_pretrained`, or the hub refuses or cannot be reached.
        """
        from auxface.model.hub import push_model

        return push_model(self._torch().model, self.config, name, report=report, private=private, token=token)

    def __call__(
        self, images: ImageInput | Iterable[ImageInput]
    ) -> Prediction | list[Prediction] | Iterator[Prediction]:
        """One prediction for one image, a list for a sequence, a stream for any other iterable.

        An image is a path, encoded bytes, a PIL image, a uint8 RGB array [H, W, 3] or a uint8 tensor [3, H, W]. One
        that cannot be read, or shows no face, gives a prediction without faces that says why.
        """
        if isinstance(images, IMAGE_TYPES):
            return self.predict([images])[0]
        if isinstance(images, Sequence):
            return self.predict(images)
        return self.stream(images)

    def predict(self, images: Sequence[ImageInput]) -> list[Prediction]:
        """One prediction per image, in order."""
        return list(self.stream(images))

    def stream(self, images: Iterable[ImageInput]) -> Iterator[Prediction]:
        """One prediction per image, in order, while little of the input is in memory."""
        items = iter(images)
        start = 0
        while chunk := list(islice(items, _BATCH)):
            yield from self._predict(chunk, start)
            start += len(chunk)

    def _predict(self, chunk: list[ImageInput], start: int) -> Iterator[Prediction]:
        plain = all(isinstance(image, np.ndarray) for image in chunk) and isinstance(self.framing, WholeFraming)
        # Threads pay where files are decoded or faces are sought.
        shown = list(map(self.look, chunk)) if plain else list(in_order(self.look, chunk))
        answers = iter(self.answer([face.square for faces, _ in shown for face in faces]))
        for place, (image, (faces, reason)) in enumerate(zip(chunk, shown, strict=True)):
            found = tuple(Face(face.box, next(answers)) for face in faces)
            yield Prediction(name_of(image, start + place), found, reason, image)

    def look(self, image: ImageInput) -> tuple[list[Shown], str | None]:
        """The faces of an image as the model will see them, or none and the reason."""
        if self.config.recipe.encoder.num_frames is not None:
            return [], "an image, and the model sees clips; give it a video"
        try:
            pixels = read_any(image, allow_urls=self.allow_urls)
        except UnreadableImage as error:
            return [], str(error)
        shown = self.framing(pixels)
        if not shown:
            return [], NO_FACE
        if isinstance(self.framing, WholeFraming) and self.config.crop is None and not self._warned:
            height, width = pixels.shape[:2]
            if max(height, width) > _NOT_A_FACE * min(height, width):
                self._warned = True
                self._warn(
                    f"an image of {width}x{height} pixels is scored as one face, its central square; if it shows more "
                    "than a face, have faces cut (faces='crop', --faces crop)"
                )
        return shown, None

    def answer(self, squares: Sequence[np.ndarray]) -> list[dict[str, Answer]]:
        """Squares of faces, each uint8 [S, S, 3] at the model's size, to an answer per task."""
        if not squares:
            return []
        images = np.ascontiguousarray(np.stack(squares).transpose(0, 3, 1, 2))
        return self.answers_of(self.scorer.score_images(images))

    def answers_of(self, logits: dict[str, np.ndarray]) -> list[dict[str, Answer]]:
        """Logits per task, [N, outputs], to the answers of N faces."""
        by_task = [answers_from_logits(task, logits[task.name]) for task in self.config.tasks]
        names = [task.name for task in self.config.tasks]
        return [dict(zip(names, answers, strict=True)) for answers in zip(*by_task, strict=True)]

    def _torch(self) -> TorchScorer:
        from auxface.errors import InputError

        if not isinstance(self.scorer, TorchScorer):
            raise InputError("an exported model answers, but cannot be written as a model directory")
        return self.scorer
