"""Many faces with their table, rendered by several processes.

Rendering a list of faces, here or in a child process of its own.
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from auxface.data.synthetic.render import render_face
from auxface.data.synthetic.sampling import Bias, describe_face
from auxface.errors import InputError

if TYPE_CHECKING:
    import pandas as pd


RenderedFace = tuple[int, dict[str, object], np.ndarray]
"""(number, table row, image uint8 [S, S, 3])"""


@dataclass(frozen=True)
class Job:
    """What all faces of a collection share."""

    seed: int
    size: int
    bias: Bias | None
    splits: tuple[float, float, float]


def render_here(indices: range, job: Job) -> Iterator[RenderedFace]:
    """Renders the faces of these numbers one after another."""
    for index in indices:
        face, row = describe_face(index, seed=job.seed, bias=job.bias, splits=job.splits)
        yield index, row, render_face(face, job.size)


def render_elsewhere(indices: range, job: Job) -> Iterator[RenderedFace]:
    """The same in a child process.

    A plain child, since a pool of forked ones may hang after torch has started threads, and a pool of spawned ones
    runs the caller's script again.
    """
    request = json.dumps({**asdict(job), "indices": [indices.start, indices.stop, indices.step]}) + "\n"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-c", "from auxface.data.synthetic.faces import main; main()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as child:
        try:
            assert child.stdin is not None
            assert child.stdout is not None
            child.stdin.write(request.encode())
            child.stdin.close()
            for index in indices:
                line = child.stdout.readline()
                if not line:
                    raise RuntimeError(f"the process that renders synthetic faces ended early, before face {index}")
                row = json.loads(line)
                if "error" in row:
                    raise InputError(row["error"])
                image = np.frombuffer(child.stdout.read(job.size * job.size * 3), np.uint8)
                yield index, row, image.reshape(job.size, job.size, 3)
        finally:
            child.kill()


def main() -> None:
    """The child: reads a job from standard input, writes per face one line of JSON, then size * size * 3 bytes."""
    cv2.setNumThreads(1)
    request = json.loads(sys.stdin.readline())
    bias = request["bias"]
    if bias is not None:
        bias = Bias(**{**bias, "favored": None if bias["favored"] is None else tuple(bias["favored"])})
    job = Job(request["seed"], request["size"], bias, tuple(request["splits"]))
    out = sys.stdout.buffer
    try:
        for _, row, image in render_here(range(*request["indices"]), job):
            out.write(json.dumps(row).encode() + b"\n" + image.tobytes())
    except InputError as error:
        out.write(json.dumps({"error": str(error)}).encode() + b"\n")
    out.flush()


_WORTH_A_PROCESS = 96


@dataclass(frozen=True)
class SyntheticFaces:
    """Rendered faces.

    `images`: uint8 [N, S, S, 3], RGB. `table`: one row per image, in order: `split` (train, val, test), `source`
    (the person), `frame` (which image of the person), `emotion` (class name), `skin_tone`, `age_group`, `forged`
    (0/1), and a 0/1 column for every name of `ATTRIBUTES`.
    """

    images: np.ndarray
    table: "pd.DataFrame"


def render_faces(
    count: int,
    *,
    seed: int = 0,
    size: int = 64,
    bias: Bias | None = None,
    splits: tuple[float, float, float] = (0.7, 0.1, 0.2),
    workers: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> SyntheticFaces:
    """Renders `count` faces, four images to a person, splits disjoint by person.

    Args:
        count: how many images.
        seed: names the collection; face i of a seed is the same in a collection of any count.
        size: side in pixels, 32 to 512.
        bias: ties a label to a group in the training split; None leaves all labels independent of skin tone.
        splits: shares of the people in train, val and test, which sum to 1. The shares hold to within a few people.
        workers: processes; by default as many as processors, at most 8, and one for small collections. The result is
            the same for any number.
        progress: called with the number of faces done so far, never by two threads at once.

    Raises:
        InputError: count below 1, a negative seed, size outside 32..512, or splits that are no shares.
    """
    if count < 1:
        raise InputError(f"{count} synthetic faces cannot be rendered: give a count of 1 or more")
    if seed < 0:
        raise InputError(f"seed {seed} is negative: give 0 or more")
    if not 32 <= size <= 512:
        raise InputError(f"synthetic faces of size {size} cannot be drawn: give a size from 32 to 512")
    if len(splits) != 3 or min(splits) < 0 or abs(sum(splits) - 1.0) > 1e-6:
        raise InputError(
            f"splits {splits} are no shares of train, val and test: give three numbers of at least 0 that sum to 1"
        )
    import pandas as pd  # here, since the processes that render import this module and need no tables

    images = np.empty((count, size, size, 3), np.uint8)
    rows: list[dict[str, object]] = [{}] * count
    job = Job(seed, size, bias, splits)
    tally = threading.Lock()
    done = 0

    def collect(faces: Iterator[RenderedFace]) -> None:
        nonlocal done
        for index, row, image in faces:
            rows[index], images[index] = row, image
            with tally:
                done += 1
                if progress is not None:
                    progress(done)

    lanes = max(1, min(workers or min(_processors(), 8), count // _WORTH_A_PROCESS))
    if lanes == 1:
        collect(render_here(range(count), job))
    else:
        with ThreadPoolExecutor(lanes) as pool:
            lists = [range(lane, count, lanes) for lane in range(lanes)]
            for finished in [pool.submit(collect, render_elsewhere(indices, job)) for indices in lists]:
                finished.result()
    return SyntheticFaces(images, pd.DataFrame(rows))


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
