"""Score the faces of concurrent requests in shared batches.

While the model is busy, faces that arrive form the next batch; no request waits for others.

    batcher = Batcher(scorer)
    logits = batcher.submit(images).result()
    batcher.close()
"""

import queue
import threading
from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np

from auxface.inference.predictor import Scorer


@dataclass
class _Job:
    images: np.ndarray
    future: "Future[dict[str, np.ndarray]]"


class Batcher:
    """A thread that runs the model on all waiting faces, up to a maximum. It is a scorer itself.

    Args:
        scorer: The model.
        max_faces: Largest number of faces in a shared batch; a request with more is scored alone. None: as many as suit
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
