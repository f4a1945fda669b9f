"""From an upload to an answer: decoding and faces in threads, the model in its batcher, bounds everywhere.

Faces of different requests, scored together: while the model is busy, what arrives forms the next batch.
"""

import asyncio
import queue
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from auxface.data.images.decode import UnreadableImage, read_image
from auxface.data.video.frames import UnreadableVideo, index_video
from auxface.errors import InputError
from auxface.inference.explain import Explanation, explain_image
from auxface.inference.predict_video import predict_video
from auxface.inference.prediction import Prediction
from auxface.inference.predictor import Predictor, Scorer, TorchScorer
from auxface.serve.security import Refusal
from auxface.serve.server import Settings
from auxface.serve.uploads import Upload


@dataclass
class _Job:
    images: np.ndarray
    future: "Future[dict[str, np.ndarray]]"


class Batcher:
    """One thread that owns the model and takes whatever waits, up to a number of faces; nobody waits for company.

    Args:
        scorer: the model.
        most: faces in one batch; a request with more is scored alone. None: as many as suit the model's device.
    """

    def __init__(self, scorer: Scorer, most: int | None = None) -> None:
        self.config = scorer.config
        self.batch_size = self.most = most or scorer.batch_size
        self._scorer = scorer
        self._waiting: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="auxface-batcher", daemon=True)
        self._thread.start()

    def submit(self, images: np.ndarray) -> "Future[dict[str, np.ndarray]]":
        """uint8 [N, 3, S, S] to a promise of logits per task; a promise that is canceled in time costs nothing."""
        future: Future[dict[str, np.ndarray]] = Future()
        self._waiting.put(_Job(images, future))
        return future

    def score_images(self, images: np.ndarray, *, batch_size: int | None = None) -> dict[str, np.ndarray]:
        """As a scorer does; waits."""
        return self.submit(images).result()

    def close(self) -> None:
        """End after what waits was answered."""
        self._waiting.put(None)
        self._thread.join(timeout=10)

    def _work(self) -> None:
        held: _Job | None = None
        while True:
            first = held or self._waiting.get()
            held = None
            if first is None:
                return
            jobs, count = [first], len(first.images)
            stop = False
            while count < self.most:
                try:
                    job = self._waiting.get_nowait()
                except queue.Empty:
                    break
                if job is None:
                    stop = True
                    break
                if count + len(job.images) > self.most:
                    held = job
                    break
                jobs.append(job)
                count += len(job.images)
            self._answer([job for job in jobs if job.future.set_running_or_notify_cancel()])
            if stop:
                return

    def _answer(self, jobs: list[_Job]) -> None:
        if not jobs:
            return
        try:
            logits = self._scorer.score_images(np.concatenate([job.images for job in jobs]), batch_size=self.most)
        # Whatever went wrong belongs to those who wait for it; the thread must live on.
        except BaseException as error:
            for job in jobs:
                job.future.set_exception(error)
            return
        start = 0
        for job in jobs:
            end = start + len(job.images)
            job.future.set_result({name: values[start:end] for name, values in logits.items()})
            start = end


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
        self.predictor = self.explainer.with_scorer(self.batcher)
        self._threads = ThreadPoolExecutor(thread_name_prefix="auxface-decode", max_workers=8)
        # Explaining and watching take seconds; images pass them by.
        self._slow = ThreadPoolExecutor(thread_name_prefix="auxface-slow", max_workers=2)

    async def predict(self, upload: Upload) -> Prediction:
        """Faces and answers of an image or video.

        Raises:
            Refusal: 413, 422 or 503.
        """
        if upload.kind == "video":
            return await self._within(self._slow, self._watch, upload)
        return await self._within(self._threads, self._look, upload)

    async def explain(self, upload: Upload, task: str | None, face: int) -> Explanation:
        """Why one face of an image was answered so.

        Raises:
            Refusal: 415 for a video, 413, 422 or 503.
        """
        if upload.kind == "video":
            raise Refusal(415, "a video cannot be explained; send one of its frames as an image")
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
        except (InputError, UnreadableImage, UnreadableVideo) as error:
            raise Refusal(422, str(error)) from None
        except MemoryError:
            raise Refusal(413, "too large for this machine's memory") from None

    def _pixels(self, upload: Upload) -> np.ndarray:
        most = self.settings.max_pixels
        try:
            return read_image(upload.data, max_pixels=most, max_bytes=self.settings.max_bytes)
        except UnreadableImage as error:
            large = "megapixels" in str(error)
            raise Refusal(413 if large else 422, f"the image cannot be read: {error}") from None

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
            result = predict_video(self.predictor, path, max_frames=most)
        if result.unreadable:
            raise Refusal(422, f"the video cannot be read: {result.reason}")
        return result

    def _explain(self, upload: Upload, task: str | None, face: int) -> Explanation:
        return explain_image(self.explainer, self._pixels(upload), task=task, face=face)[0]
