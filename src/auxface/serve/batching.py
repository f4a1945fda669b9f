"""Faces of different requests, scored together: while the model is busy, what arrives forms the next batch."""

import queue
import threading
from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np

from auxface.inference.predictor import Scorer


@dataclass
class _Job:
    pictures: np.ndarray
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

    def submit(self, pictures: np.ndarray) -> "Future[dict[str, np.ndarray]]":
        """uint8 [N, 3, S, S] to a promise of logits per task; a promise that is cancelled in time costs nothing."""
        future: Future[dict[str, np.ndarray]] = Future()
        self._waiting.put(_Job(pictures, future))
        return future

    def score_pictures(self, pictures: np.ndarray, *, batch_size: int | None = None) -> dict[str, np.ndarray]:
        """As a scorer does; waits."""
        return self.submit(pictures).result()

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
            jobs, count = [first], len(first.pictures)
            stop = False
            while count < self.most:
                try:
                    job = self._waiting.get_nowait()
                except queue.Empty:
                    break
                if job is None:
                    stop = True
                    break
                if count + len(job.pictures) > self.most:
                    held = job
                    break
                jobs.append(job)
                count += len(job.pictures)
            self._answer([job for job in jobs if job.future.set_running_or_notify_cancel()])
            if stop:
                return

    def _answer(self, jobs: list[_Job]) -> None:
        if not jobs:
            return
        try:
            logits = self._scorer.score_pictures(np.concatenate([job.pictures for job in jobs]), batch_size=self.most)
        # Whatever went wrong belongs to those who wait for it; the thread must live on.
        except BaseException as error:
            for job in jobs:
                job.future.set_exception(error)
            return
        start = 0
        for job in jobs:
            end = start + len(job.pictures)
            job.future.set_result({name: values[start:end] for name, values in logits.items()})
            start = end
