"""From an upload to an answer: decoding and faces in threads, the model in its batcher, bounds everywhere."""

import asyncio
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from auxface.data.decode import UnreadablePicture, read_picture
from auxface.data.video import UnreadableVideo, index_video
from auxface.errors import InputError
from auxface.inference.explain import Explanation, explain
from auxface.inference.predictor import Predictor, TorchScorer
from auxface.inference.results import Prediction
from auxface.inference.video import predict_video
from auxface.serve.batching import Batcher
from auxface.serve.intake import Upload
from auxface.serve.refusal import Refusal
from auxface.serve.settings import Settings

Result = TypeVar("Result")


class Answering:
    """Everything between an upload and its answer, with its own threads.

    Args:
        predictor: the model.
        settings: the bounds.
    """

    def __init__(self, predictor: Predictor, settings: Settings) -> None:
        self.settings = settings
        self.explainer = predictor
        self.can_explain = isinstance(predictor.scorer, TorchScorer)
        self.in_hand = 0

    def open(self) -> None:
        """Start the threads."""
        self.batcher = Batcher(self.explainer.scorer, self.settings.batch)
        # The same framing, with a scorer that shares its batches.
        self.predictor = Predictor.sharing(self.explainer, self.batcher)
        self._threads = ThreadPoolExecutor(thread_name_prefix="auxface-decode", max_workers=8)
        # Explaining and watching take seconds; pictures pass them by.
        self._slow = ThreadPoolExecutor(thread_name_prefix="auxface-slow", max_workers=2)

    async def predict(self, upload: Upload) -> Prediction:
        """Faces and answers of a picture or video.

        Raises:
            Refusal: 413, 422 or 503.
        """
        if upload.kind == "video":
            return await self._within(self._slow, self._watch, upload)
        return await self._within(self._threads, self._look, upload)

    async def explain(self, upload: Upload, task: str | None, face: int) -> Explanation:
        """Why one face of a picture was answered so.

        Raises:
            Refusal: 415 for a video, 413, 422 or 503.
        """
        if upload.kind == "video":
            raise Refusal(415, "a video cannot be explained; send one of its frames as a picture")
        if not self.can_explain:
            raise Refusal(422, "an exported model has no gradients to explain with; serve its model directory")
        return await self._within(self._slow, self._explain, upload, task, face)

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._slow.shutdown(wait=False, cancel_futures=True)
        self.batcher.close()

    async def _within(self, pool: ThreadPoolExecutor, work: Callable[..., Result], *arguments: Any) -> Result:
        future = asyncio.get_running_loop().run_in_executor(pool, work, *arguments)
        try:
            return await asyncio.wait_for(future, self.settings.max_seconds)
        except TimeoutError:
            raise Refusal(503, f"no answer within {self.settings.max_seconds:g} s") from None
        except (InputError, UnreadablePicture, UnreadableVideo) as error:
            raise Refusal(422, str(error)) from None
        except MemoryError:
            raise Refusal(413, "too large for this machine's memory") from None

    def _pixels(self, upload: Upload) -> np.ndarray:
        most = self.settings.max_pixels
        try:
            return read_picture(upload.data, max_pixels=most, max_bytes=self.settings.max_bytes)
        except UnreadablePicture as error:
            large = "megapixels" in str(error)
            raise Refusal(413 if large else 422, f"the picture cannot be read: {error}") from None

    def _look(self, upload: Upload) -> Prediction:
        pixels = self._pixels(upload)
        return self.predictor.predict([pixels])[0]

    def _watch(self, upload: Upload) -> Prediction:
        most = self.settings.max_frames
        # Decoders seek, so a video needs a file; it goes with the block, whatever happens in it.
        with tempfile.TemporaryDirectory(prefix="auxface-") as folder:
            path = Path(folder) / "video"
            path.write_bytes(upload.data)
            try:
                index = index_video(path)
            except UnreadableVideo as error:
                raise Refusal(422, f"the video cannot be read: {error}") from None
            if index.width * index.height > self.settings.max_pixels:
                raise Refusal(413, f"frames of more than {self.settings.max_pixels / 1e6:g} megapixels")
            result = predict_video(self.predictor, path, max_looks=most)
        if result.unreadable:
            raise Refusal(422, f"the video cannot be read: {result.reason}")
        return result

    def _explain(self, upload: Upload, task: str | None, face: int) -> Explanation:
        return explain(self.explainer, self._pixels(upload), task=task, only=face)[0]
