"""The predictor, which applies a trained model to the faces in images.

Example::

    predictor = Predictor.from_pretrained("runs/x")
    prediction = predictor("photo.jpg")
    prediction.faces[0].tasks["emotion"].answer
"""

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeGuard

import numpy as np

from auxface.data.faces.detection import DetectorName
from auxface.data.images.decode import UnreadableImage, count_unread_frames, in_order
from auxface.device import resolve_device
from auxface.errors import InputError
from auxface.inference.answers import Answer, Face, answers_from_logits
from auxface.inference.prediction import NO_FACE, Prediction
from auxface.inference.preprocessing import (
    IMAGE_TYPES,
    FaceCrop,
    FacesMode,
    ImageInput,
    WholeImage,
    input_name,
    make_face_extractor,
    to_rgb,
)
from auxface.model.config import ModelConfig
from auxface.model.saved_model import SavedModel, fetch_model
from auxface.model.scoring import score_images, suitable_batch

_CHUNK = 64
# An image whose sides differ by more than this factor is rarely a crop of a single face.
_MAX_ASPECT_RATIO = 1.5


class Scorer(Protocol):
    """Protocol of models that score images, such as the model in a model directory or in an ONNX file."""

    config: ModelConfig
    batch_size: int

    def score_images(self, images: np.ndarray, *, batch_size: int | None = None) -> dict[str, np.ndarray]:
        """Return the logits of each task, float32 [N, outputs], for images, uint8 [N, 3, S, S]."""
        ...


class TorchScorer:
    """The model from a model directory, on a device.

    Args:
        saved: loaded model with its configuration.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
    """

    def __init__(self, saved: SavedModel, device: str = "auto") -> None:
        device = resolve_device(device)
        self.model = saved.model.to(device).eval()
        self.config = saved.config
        self.batch_size = suitable_batch(device, saved.config.recipe.encoder.image_size)

    def score_images(self, images: np.ndarray, *, batch_size: int | None = None) -> dict[str, np.ndarray]:
        """Return the logits of each task, float32 [N, outputs], for images, uint8 [N, 3, S, S]."""
        return score_images(self.model, images, batch_size=batch_size or self.batch_size)


class Predictor:
    """A trained model that makes predictions for every face in an image; :meth:`from_pretrained` loads one.

    Args:
        scorer: model that scores face crops.
        faces: ``auto`` detects and crops faces if the model was trained on cropped faces, ``crop`` always detects and
            crops faces, and ``whole`` uses the central square of each image as one face.
        detector: detector to use in place of the detector recorded with the model: ``yunet`` or ``haar``.
        weights: path of YuNet's weights, used in place of ``AUXFACE_YUNET`` or the downloaded file.
        allow_urls: whether to fetch http and https URLs.
        warn: callback that receives a message about each difference from training; by default :func:`warnings.warn`.

    Raises:
        InputError: the face detector cannot be loaded.

    Example:
        >>> from pathlib import Path
        >>> import auxface
        >>> predictor = auxface.Predictor.from_pretrained("runs/a")
        >>> prediction = predictor(next(Path("faces").glob("*.png")))
        >>> len(prediction.faces)
        1
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
        self.image_size = self.config.recipe.encoder.image_size
        self.allow_urls = allow_urls
        self._warn = warn
        self._warned = False
        self.face_extractor = make_face_extractor(
            self.config.crop,
            self.image_size,
            evaluation_crop=self.config.recipe.encoder.evaluation_crop,
            faces=faces,
            detector=detector,
            weights=weights,
            warn=warn,
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
        """Load a predictor from a model directory, an exported ``.onnx`` file, or the Hugging Face Hub.

        Args:
            model: path of a directory or file, or a Hub name ``owner/name``.
            device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
            revision: branch, tag or commit of a model on the Hub.
            faces: see the arguments of the class.
            detector: see the arguments of the class.
            weights: see the arguments of the class.
            allow_urls: see the arguments of the class.
            warn: see the arguments of the class.

        Raises:
            InputError: the model does not exist, is invalid, or cannot be downloaded.
        """
        scorer: Scorer
        if str(model).endswith(".onnx"):
            from auxface.inference.onnx_model import OnnxModel

            scorer = OnnxModel(Path(model), device)
        else:
            saved = fetch_model(model, revision)
            saved.config.require_tasks(model)
            scorer = TorchScorer(saved, device)
        return cls(scorer, faces=faces, detector=detector, weights=weights, allow_urls=allow_urls, warn=warn)

    def with_scorer(self, scorer: Scorer) -> "Predictor":
        """Return a predictor that crops faces in the same way but uses a different scorer."""
        made = type(self).__new__(type(self))
        made.__dict__ |= self.__dict__ | {"scorer": scorer, "config": scorer.config}
        return made

    def save_pretrained(self, folder: str | Path, *, report: Mapping[str, Any] | None = None) -> None:
        """Save the model directory, with thresholds, calibration and provenance.

        In an existing folder, files with the same names are replaced and all others are kept.

        Args:
            folder: path of the folder to write.
            report: content of an audit's ``report.json``, for the model card.

        Raises:
            InputError: the predictor was loaded from an exported file, which cannot be saved as a model directory.
        """
        from auxface.model.saved_model import save_model

        save_model(self._torch_scorer().model, Path(folder), self.config, report)

    def push_to_hub(
        self, name: str, *, report: Mapping[str, Any] | None = None, private: bool = True, token: str | None = None
    ) -> str:
        """Upload the model directory to the Hugging Face Hub and return its URL.

        Args:
            name: name of the repository, ``owner/name``.
            report: content of an audit's ``report.json``, for the model card.
            private: whether to make a new repository private.
            token: access token; by default the token that ``hf auth login`` stored.

        Raises:
            InputError: the predictor was loaded from an exported file, or the Hub rejects the upload or cannot be
                reached.
        """
        from auxface.model.saved_model import push_model

        return push_model(self._torch_scorer().model, self.config, name, report=report, private=private, token=token)

    def __call__(
        self, image: ImageInput | Iterable[ImageInput]
    ) -> Prediction | list[Prediction] | Iterator[Prediction]:
        """Predict on one image, a sequence of images, or a stream of images.

        If an image cannot be read or shows no face, its prediction has no faces and holds the reason.

        Args:
            image: a path, encoded bytes, a PIL image, an RGB array [H, W, 3] or tensor [3, H, W], a gray array or
                tensor [H, W]; or a sequence or any other iterable of these. Arrays and tensors are uint8, or
                floating-point in [0, 1].

        Returns:
            A single prediction for one image, a list for a sequence, and an iterator for any other iterable.
        """
        if isinstance(image, IMAGE_TYPES):
            return self.predict([image])[0]
        if isinstance(image, Sequence):
            return self.predict(image)
        return self.stream(image)

    def predict(self, images: Sequence[ImageInput]) -> list[Prediction]:
        """Return one prediction per image, in order."""
        return list(self.stream(images))

    def stream(self, images: Iterable[ImageInput]) -> Iterator[Prediction]:
        """Yield one prediction per image, in order, with at most 128 images in memory.

        While 64 images are scored, the next 64 are decoded in other threads.
        """
        chunks = iter(partial(_read_chunk, iter(images)), _Chunk([], None))
        start, chunk = 0, next(chunks, None)
        with ThreadPoolExecutor(1) as ahead:
            waiting = None if chunk is None else ahead.submit(self._crop_chunk, chunk.images)
            while chunk is not None and waiting is not None:
                # An error raised by the caller's iterable is re-raised after the predictions for the preceding images.
                following = next(chunks, None) if chunk.error is None else None
                found = waiting.result()
                waiting = None if following is None else ahead.submit(self._crop_chunk, following.images)
                yield from self._score_chunk(chunk.images, found, start)
                if chunk.error is not None:
                    raise chunk.error
                start, chunk = start + len(chunk.images), following

    def crop_faces(self, image: ImageInput) -> tuple[list[FaceCrop], str | None]:
        """Return the face crops of an image, and the reason if there are none."""
        if self.config.recipe.encoder.num_frames is not None:
            return [], "an image, but the model was trained on video clips; use a video"
        try:
            pixels = to_rgb(image, allow_urls=self.allow_urls)
        except UnreadableImage as error:
            return [], str(error)
        unread = count_unread_frames(image if isinstance(image, bytes) else Path(image)) if _is_animation(image) else 0
        if unread:
            self._warn(
                f"{input_name(image, 0)}: animated image; only the first frame is scored ({unread} more are ignored)"
            )
        crops = self.face_extractor(pixels)
        if not crops:
            return [], NO_FACE
        if isinstance(self.face_extractor, WholeImage) and self.config.crop is None and not self._warned:
            height, width = pixels.shape[:2]
            if max(height, width) > _MAX_ASPECT_RATIO * min(height, width):
                self._warned = True
                self._warn(
                    f"the central square of an image of {width}x{height} pixels is scored as one face; if the image "
                    "shows more than just a face, use faces='crop' (--faces crop)"
                )
        return crops, None

    def predict_crops(self, crops: Sequence[np.ndarray]) -> list[dict[str, Answer]]:
        """Return the answers by task for each face crop, uint8 [S, S, 3] at the model's input size."""
        if not crops:
            return []
        images = np.ascontiguousarray(np.stack(crops).transpose(0, 3, 1, 2))
        logits = self.scorer.score_images(images)
        names = [task.name for task in self.config.tasks]
        by_task = [answers_from_logits(task, logits[task.name]) for task in self.config.tasks]
        return [dict(zip(names, answers, strict=True)) for answers in zip(*by_task, strict=True)]

    def _crop_chunk(self, chunk: list[ImageInput]) -> list[tuple[list[FaceCrop], str | None]]:
        plain = all(isinstance(image, np.ndarray) for image in chunk) and isinstance(self.face_extractor, WholeImage)
        # Threads are worthwhile only if files are decoded or faces are detected.
        return list(map(self.crop_faces, chunk)) if plain else list(in_order(self.crop_faces, chunk))

    def _score_chunk(
        self, chunk: list[ImageInput], found: list[tuple[list[FaceCrop], str | None]], start: int
    ) -> Iterator[Prediction]:
        answers = iter(self.predict_crops([crop.pixels for crops, _ in found for crop in crops]))
        for index, (image, (crops, reason)) in enumerate(zip(chunk, found, strict=True)):
            faces = tuple(Face(crop.box, next(answers)) for crop in crops)
            yield Prediction(input_name(image, start + index), faces, reason, image)

    def _torch_scorer(self) -> TorchScorer:
        if not isinstance(self.scorer, TorchScorer):
            raise InputError(
                "an exported model cannot be saved as a model directory; load the original directory instead"
            )
        return self.scorer


def _is_animation(image: ImageInput) -> TypeGuard[str | Path | bytes]:
    """Return whether an input is a file in a format that is often animated."""
    if isinstance(image, bytes):
        return image[:4] == b"GIF8"
    return isinstance(image, (str, Path)) and str(image).lower().endswith((".gif", ".webp")) and Path(image).is_file()


class _Chunk(NamedTuple):
    """Images that are scored together, and the error, if any, that the caller's iterable raised after them."""

    images: list[ImageInput]
    error: Exception | None


def _read_chunk(images: Iterator[ImageInput]) -> _Chunk:
    chunk: list[ImageInput] = []
    try:
        for image in islice(images, _CHUNK):
            chunk.append(image)
    except Exception as error:
        return _Chunk(chunk, error)
    return _Chunk(chunk, None)
