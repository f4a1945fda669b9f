"""Many faces with their table, rendered by several processes."""

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from auxface.data.synthetic.bias import Bias
from auxface.data.synthetic.worker import Job, RenderedFace, render_elsewhere, render_here
from auxface.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

_WORTH_A_PROCESS = 96


@dataclass(frozen=True)
class SyntheticFaces:
    """Rendered faces.

    `pictures`: uint8 [N, S, S, 3], RGB. `table`: one row per picture, in order: `split` (train, val, test), `source`
    (the person), `frame` (which picture of the person), `emotion` (class name), `skin_tone`, `age_group`, `forged`
    (0/1), and a 0/1 column for every name of `ATTRIBUTES`.
    """

    pictures: np.ndarray
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
    """Renders `count` faces, four pictures to a person, splits disjoint by person.

    Args:
        count: how many pictures.
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

    pictures = np.empty((count, size, size, 3), np.uint8)
    rows: list[dict[str, object]] = [{}] * count
    job = Job(seed, size, bias, splits)
    tally = threading.Lock()
    done = 0

    def collect(faces: Iterator[RenderedFace]) -> None:
        nonlocal done
        for index, row, picture in faces:
            rows[index], pictures[index] = row, picture
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
    return SyntheticFaces(pictures, pd.DataFrame(rows))


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
