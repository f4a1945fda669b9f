"""Handle requests: decode uploads and detect faces in threads, and score faces of concurrent requests in batches.

Example::

    handler = RequestHandler(predictor, settings)
    handler.open()
    prediction = await handler.predict(upload, scope)
    handler.close()

Faces of concurrent requests are scored in shared batches. Faces that arrive while the model is busy form the next
batch; no request waits for other requests to arrive.

Example::

    batcher = Batcher(scorer)
    logits = batcher.submit(images).result()
    batcher.close()
"""

import asyncio
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from starlette.requests import Request

from auxface.data.images.decode import UnreadableImage, read_image
from auxface.data.video.decoding import UnreadableVideo
from auxface.data.video.frames import index_video
from auxface.errors import InputError
from auxface.inference.explain import explain_image
from auxface.inference.predict_video import predict_video
from auxface.inference.predictor import Predictor, Scorer, TorchScorer
from auxface.serve.schemas import RequestError, explanation_layers
from auxface.serve.settings import Settings
from auxface.serve.uploads import Upload

# Videos are rarely encoded with more than 300 frames between key frames.
_DECODED_PER_SCORED = 100


@dataclass
class _Job:
    images: np.ndarray
    future: "Future[dict[str, np.ndarray]]"


class Batcher:
    """A thread that runs the model on all waiting faces, up to a maximum number; can be used as a scorer itself.

    Args:
        scorer: model that scores the faces.
        max_faces: maximum number of faces in a shared batch; a request with more faces is scored alone. None selects
            a maximum that depends on the device of the model.
    """

    def __init__(self, scorer: Scorer, max_faces: int | None = None) -> None:
        self.config = scorer.config
        self.batch_size = self.max_faces = max_faces or scorer.batch_size
        self._scorer = scorer
        self._waiting: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="auxface-batcher", daemon=True)
        self._thread.start()

    def submit(self, images: np.ndarray) -> "Future[dict[str, np.ndarray]]":
        """Return a future for the logits of each task, for images, uint8 [N, 3, S, S].

        If the future is canceled before its batch starts, its images are not scored.
        """
        future: Future[dict[str, np.ndarray]] = Future()
        self._waiting.put(_Job(images, future))
        return future

    def score_images(self, images: np.ndarray, *, batch_size: int | None = None) -> dict[str, np.ndarray]:
        """Return the logits of each task, float32 [N, outputs], for images, uint8 [N, 3, S, S]."""
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
        # The error is reported to the requests of this batch; the thread must continue.
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


class _Canceled(Exception):
    """Raised in a thread that works on a request whose client has disconnected or whose deadline has passed."""


class RequestScope:
    """The remaining time of one request, and whether its client is still connected.

    Args:
        request: request to handle.
        seconds: time limit of the request in seconds, including its upload.
    """

    def __init__(self, request: Request, seconds: float) -> None:
        self._request = request
        self.seconds = seconds
        self._end = time.monotonic() + seconds
        self._canceled = threading.Event()

    @property
    def remaining(self) -> float:
        """Seconds until the deadline."""
        return max(0.0, self._end - time.monotonic())

    def check(self) -> None:
        """Raise an error if the result is no longer needed; called from the thread that works on the request."""
        if self._canceled.is_set() or time.monotonic() > self._end:
            raise _Canceled

    async def wait_for(self, future: "asyncio.Future[Result]") -> Result:
        """Return the result of a future; cancel it at the deadline or when the client disconnects.

        Raises:
            RequestError: the request cannot be completed, with status 400 or 503.
        """
        left = asyncio.ensure_future(self._disconnected())
        try:
            done, _ = await asyncio.wait({future, left}, timeout=self.remaining, return_when=asyncio.FIRST_COMPLETED)
            if future not in done:
                if left in done:
                    raise RequestError(400, "the client closed the connection")
                raise self.too_slow()
            return future.result()
        except _Canceled:
            raise self.too_slow() from None
        finally:
            self._canceled.set()
            left.cancel()
            future.cancel()

    def too_slow(self) -> RequestError:
        """Return the error for a request that has reached its deadline."""
        return RequestError(503, f"the request took longer than {self.seconds:g} s")

    async def _disconnected(self) -> None:
        while (await self._request.receive())["type"] != "http.disconnect":
            pass


class RequestHandler:
    """A handler of uploads that applies the limits of the settings and has its own threads.

    Args:
        predictor: predictor of the model.
        settings: settings that contain the limits.

    Attributes:
        can_explain: whether the model supports explanations; an exported model does not, because it has no gradients.
        unfinished: number of requests that have been accepted but not yet answered.
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
        # Explanations and videos take seconds; with separate threads, they delay neither images nor each other.
        self._video_threads = ThreadPoolExecutor(thread_name_prefix="auxface-video", max_workers=2)
        self._explain_threads = ThreadPoolExecutor(thread_name_prefix="auxface-explain", max_workers=2)

    def close(self) -> None:
        """Stop the threads."""
        for threads in (self._image_threads, self._video_threads, self._explain_threads):
            threads.shutdown(wait=False, cancel_futures=True)
        self.batcher.close()

    async def predict(self, upload: Upload, scope: RequestScope) -> dict[str, Any]:
        """Return the prediction for an image or video as JSON.

        Raises:
            RequestError: the upload or the request is rejected, with status 413, 422 or 503.
        """
        if upload.kind == "video":
            return await self._run(self._video_threads, self._predict_video, upload, scope)
        return await self._run(self._image_threads, self._predict_image, upload, scope)

    async def explain(self, upload: Upload, scope: RequestScope, task: str | None, face: int) -> dict[str, Any]:
        """Return the explanation of one face in an image as JSON, including its layers as images.

        Raises:
            RequestError: the upload or the request is rejected, with status 415 for a video, otherwise with 413, 422 or
                503.
        """
        if upload.kind == "video":
            raise RequestError(415, "a video cannot be explained; send one of its frames as an image")
        if not self.can_explain:
            raise RequestError(
                422,
                "an exported model does not provide the gradients that explanations need; serve its model directory",
            )
        return await self._run(self._explain_threads, self._explain, upload, scope, task, face)

    async def _run(
        self,
        threads: ThreadPoolExecutor,
        function: Callable[..., Result],
        upload: Upload,
        scope: RequestScope,
        *arguments: Any,
    ) -> Result:
        """Run a function in a thread, within the scope of the request, and convert its errors to request errors."""
        future = asyncio.get_running_loop().run_in_executor(threads, function, upload, scope, *arguments)
        try:
            return await scope.wait_for(future)
        except (InputError, UnreadableImage, UnreadableVideo) as error:
            raise RequestError(422, str(error)) from None
        except MemoryError:
            raise RequestError(413, "the file is too large for the server's memory") from None

    def _predict_image(self, upload: Upload, scope: RequestScope) -> dict[str, Any]:
        scope.check()
        image = self._decode(upload)
        scope.check()
        return self.predictor.predict([image])[0].to_dict()

    def _predict_video(self, upload: Upload, scope: RequestScope) -> dict[str, Any]:
        scope.check()
        try:
            index = index_video(upload.data, check=scope.check)
        except UnreadableVideo as error:
            raise RequestError(422, f"the video cannot be read: {error}") from None
        if index.width * index.height > self.settings.max_pixels:
            raise RequestError(413, f"the frames have more than {self.settings.max_pixels / 1e6:g} megapixels")
        result = predict_video(
            self.predictor,
            upload.data,
            max_frames=self.settings.max_frames,
            max_decoded=self.settings.max_frames * _DECODED_PER_SCORED,
            check=scope.check,
        )
        if result.unreadable:
            raise RequestError(422, f"the video cannot be read: {result.reason}")
        return result.to_dict()

    def _explain(self, upload: Upload, scope: RequestScope, task: str | None, face: int) -> dict[str, Any]:
        scope.check()
        image = self._decode(upload)
        one = explain_image(self.explainer, image, task=task, face=face, check=scope.check)[0]
        scope.check()
        layers = [layer.model_dump() for layer in explanation_layers(one)]
        return {"face": one.face.to_dict(), "task": one.task, "output": one.output, "layers": layers}

    def _decode(self, upload: Upload) -> np.ndarray:
        try:
            return read_image(upload.data, max_pixels=self.settings.max_pixels, max_bytes=self.settings.max_bytes)
        except UnreadableImage as error:
            status = 413 if "megapixels" in str(error) else 422
            raise RequestError(status, f"the image cannot be read: {error}") from None
