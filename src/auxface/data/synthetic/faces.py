"""Many faces with their table, rendered by several processes."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from auxface.data.synthetic.bias import Bias
from auxface.data.synthetic.render import render_face
from auxface.data.synthetic.sampling import describe_face
from auxface.errors import InputError

_WORTH_A_PROCESS = 96


@dataclass(frozen=True)
class SyntheticFaces:
    """Rendered faces.

    `pictures`: uint8 [N, S, S, 3], RGB. `table`: one row per picture, in order: `split` (train, val, test), `source` (the person),
    `frame` (which picture of the person), `emotion` (class name), `skin_tone`, `age_group`, `forged` (0/1), and a 0/1 column
    for every name of `ATTRIBUTES`.
    """

    pictures: np.ndarray
    table: pd.DataFrame


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
    """Renders `count` faces, four pictures to a person, splits disjoint by person.

    Args:
        count: how many pictures.
        seed: names the collection; face i of a seed is the same in a collection of any count.
        size: side in pixels, 32 to 512.
        bias: ties a label to a group in the training split; None leaves all labels independent of skin tone.
        splits: shares of the people in train, val and test, which sum to 1. The shares hold to within a few people.
        workers: processes; by default as many as processors, at most 8, and one for small collections. The result is the same for any number.
        progress: called with the number of faces done so far.

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
    pictures = np.empty((count, size, size, 3), np.uint8)
    rows: list[dict[str, object]] = [{}] * count
    done = 0

    def collect(faces: Iterator[tuple[int, dict[str, object], np.ndarray]]) -> None:
        nonlocal done
        for index, rows[index], pictures[index] in faces:
            done += 1
            if progress is not None:
                progress(done)

    wanted = workers or min(_processors(), 8)
    lanes = max(1, min(wanted, count // _WORTH_A_PROCESS))
    if lanes == 1:
        collect(_render_here(range(count), seed, size, bias, splits))
    else:
        job = {"seed": seed, "size": size, "bias": None if bias is None else asdict(bias), "splits": splits}
        with ThreadPoolExecutor(lanes) as pool:
            lists = [range(lane, count, lanes) for lane in range(lanes)]
            for finished in [pool.submit(collect, _render_elsewhere(indices, job)) for indices in lists]:
                finished.result()
    return SyntheticFaces(pictures, pd.DataFrame(rows))


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _render_here(
    indices: range, seed: int, size: int, bias: Bias | None, splits: tuple[float, float, float]
) -> Iterator[tuple[int, dict[str, object], np.ndarray]]:
    for index in indices:
        face, row = describe_face(index, seed=seed, bias=bias, splits=splits)
        yield index, row, render_face(face, size)


def _render_elsewhere(indices: range, job: dict[str, object]) -> Iterator[tuple[int, dict[str, object], np.ndarray]]:
    # A plain child process, since a pool of forked ones may hang after torch has started threads, and a pool of spawned
    # ones runs the caller's script again.
    size = int(job["size"])  # type: ignore[call-overload]
    request = json.dumps({**job, "indices": [indices.start, indices.stop, indices.step]}) + "\n"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-m", "auxface.data.synthetic.worker"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as child:
        assert child.stdin is not None and child.stdout is not None
        try:
            child.stdin.write(request.encode())
            child.stdin.close()
            for index in indices:
                line = child.stdout.readline()
                if not line:
                    raise RuntimeError(f"the process that renders synthetic faces ended early, before face {index}")
                row = json.loads(line)
                if "error" in row:
                    raise InputError(row["error"])
                picture = np.frombuffer(child.stdout.read(size * size * 3), np.uint8)
                yield index, row, picture.reshape(size, size, 3)
        finally:
            child.kill()
