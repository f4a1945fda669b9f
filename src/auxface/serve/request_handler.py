"""Request handling: decode uploads and detect faces in threads, score faces of concurrent requests in batches.

Example::

    handler = RequestHandler(predictor, settings)
    handler.open()
    prediction = await handler.predict(upload)
    handler.close()

Faces of concurrent requests are scored in shared batches: while the model is busy, faces that arrive form the next
batch; no request waits for others.

Example::

    batcher = Batcher(scorer)
    logits = batcher.submit(images).result()
    batcher.close()
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
from auxface.data.video.decoding import UnreadableVideo
from auxface.data.video.frames import index_video
from auxface.errors import InputError
from auxface.inference.explain import Explanation, explain_image
from auxface.inference.predict_video import predict_video
from auxface.inference.prediction import Prediction
from auxface.inference.predictor import Predictor, Scorer, TorchScorer
from auxface.serve.schemas import RequestError
from auxface.serve.settings import Settings
from auxface.serve.uploads import Upload


@dataclass
class _Job:
    images: np.ndarray
    future: "Future[dict[str, np.ndarray]]"


class Batcher:
    """A thread that runs the model on all waiting faces, up to a maximum. It can itself be used as a scorer.

    Args:
        scorer: the model.
        max_faces: largest number of faces in a shared batch; a request with more is scored alone. None: as many as suit
            the model's device.
    """

    def __init__(self, scorer: Scorer, max_faces: int | None = None) -> None:
        self.config = scorer.config
        self.batch_size = self.max_faces = max_faces or scorer.batch_size
        self._scorer = scorer
        self._waiting: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="auxface-batcher", daemon=True)
        self._thread.start()

    def submit(self, images: np.ndarray) -> "Future[dict[str, np.ndarray]]":
        """Return a future of the logits per task for images, uint8 [N, 3, S, S].

        A future that is canceled before its batch starts is not computed.
        """
        future: Future[dict[str, np.ndarray]] = Future()
        self._waiting.put(_Job(images, future))
        return future

    def score_images(self, images: np.ndarray, *, batch_size: int | None = None) -> dict[str, np.ndarray]:
        """Return logits per task, float32 [N, outputs], for images, uint8 [N, 3, S, S]."""
        return self.submit(images).result()

    def close(self) -> None:
        """Finish all submitted work and stop the thread."""
        self._waiting.put(None)
        self._thread.join(timeout=10)

    def _run(self) -> None:
        held: _Job | None = None
        while True:
            first = held or self._waiting.get()
            held = None
            if first is None:
                return
            jobs, count = [first], len(first.images)
            stop = False
            while count < self.max_faces:
                try:
                    job = self._waiting.get_nowait()
                except queue.Empty:
                    break
                if job is None:
                    stop = True
                    break
                if count + len(job.images) > self.max_faces:
                    held = job
                    break
                jobs.append(job)
                count += len(job.images)
            self._score([job for job in jobs if job.future.set_running_or_notify_cancel()])
            if stop:
                return

    def _score(self, jobs: list[_Job]) -> None:
        if not jobs:
            return
        try:
            logits = self._scorer.score_images(np.concatenate([job.images for job in jobs]), batch_size=self.max_faces)
        # The error goes to the requests of this batch; the thread must survive it.
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


class RequestHandler:
    """A handler of uploads that applies the limits of the settings and has its own threads.

    Args:
        predictor: the model.
        settings: the limits.

    Attributes:
        can_explain: whether the model has gradients; an exported file has none.
        unfinished: number of requests that were accepted and not yet answered.
    """

    def __init__(self, predictor: Predictor, settings: Settings) -> None:
        self.settings = settings
        self.explainer = predictor
        self.can_explain = isinstance(predictor.scorer, TorchScorer)
        self.unfinished = 0

    def open(self) -> None:
        """Start the threads."""
        self.batcher = Batcher(self.explainer.scorer, self.settings.batch)
        self.predictor = self.explainer.with_scorer(self.batcher)
        self._image_threads = ThreadPoolExecutor(thread_name_prefix="auxface-image", max_workers=8)
        # Explanations and videos take seconds; with their own threads they do not hold up images.
        self._slow_threads = ThreadPoolExecutor(thread_name_prefix="auxface-slow", max_workers=2)

    def close(self) -> None:
        """Stop the threads."""
        self._image_threads.shutdown(wait=False, cancel_futures=True)
        self._slow_threads.shutdown(wait=False, cancel_futures=True)
        self.batcher.close()

    async def predict(self, upload: Upload) -> Prediction:
        """Return the prediction for an image or video.

        Raises:
            RequestError: with status 413, 422 or 503.
        """
        if upload.kind == "video":
            return await self._run(self._slow_threads, self._predict_video, upload)
        return await self._run(self._image_threads, self._predict_image, upload)

    async def explain(self, upload: Upload, task: str | None, face: int) -> Explanation:
        """Return the explanation of one face of an image.

        Raises:
            RequestError: with status 415 for a video, else 413, 422 or 503.
        """
        if upload.kind == "video":
            raise RequestError(415, "a video cannot be explained; send one of its frames as an image")
        if not self.can_explain:
            raise RequestError(422, "an exported model has no gradients to explain with; serve its model directory")
        return await self._run(self._slow_threads, self._explain, upload, task, face)

    async def _run(self, threads: ThreadPoolExecutor, function: Callable[..., Result], *arguments: Any) -> Result:
        """Run a function in a thread, within the time limit; turn its errors into request errors."""
        future = asyncio.get_running_loop().run_in_executor(threads, function, *arguments)
        try:
            return await asyncio.wait_for(future, self.settings.max_seconds)
        except TimeoutError:
            raise RequestError(503, f"the request took longer than {self.settings.max_seconds:g} s") from None
        except (InputError, UnreadableImage, UnreadableVideo) as error:
            raise RequestError(422, str(error)) from None
        except MemoryError:
            raise RequestError(413, "the file is too large for the server's memory") from None

    def _predict_image(self, upload: Upload) -> Prediction:
        return self.predictor.predict([self._decode(upload)])[0]

    def _predict_video(self, upload: Upload) -> Prediction:
        # Decoders seek, so a video needs a file, which is deleted at the end of the block.
        with tempfile.TemporaryDirectory(prefix="auxface-") as folder:
            path = Path(folder) / "video"
            path.write_bytes(upload.data)
            try:
                index = index_video(path)
            except UnreadableVideo as error:
                raise RequestError(422, f"the video cannot be read: {error}") from None
            if index.width * index.height > self.settings.max_pixels:
                raise RequestError(413, f"the frames have more than {self.settings.max_pixels / 1e6:g} megapixels")
            result = predict_video(self.predictor, path, max_frames=self.settings.max_frames)
        if result.unreadable:
            raise RequestError(422, f"the video cannot be read: {result.reason}")
        return result

    def _explain(self, upload: Upload, task: str | None, face: int) -> Explanation:
        return explain_image(self.explainer, self._decode(upload), task=task, face=face)[0]

    def _decode(self, upload: Upload) -> np.ndarray:
        try:
            return read_image(upload.data, max_pixels=self.settings.max_pixels, max_bytes=self.settings.max_bytes)
        except UnreadableImage as error:
            status = 413 if "megapixels" in str(error) else 422
            raise RequestError(status, f"the image cannot be read: {error}") from None
