"""Rendering of collections of synthetic faces in several processes, and of synthetic video clips.

Example:
    >>> faces = render_faces(4, seed=0, size=32)
    >>> faces.images.shape, len(faces.table)
    ((4, 32, 32, 3), 4)

In a video clip, the face moves slightly. In a forged clip, its texture also flickers. Each clip has its own skin
pattern (pores, freckles, blotches), sharpness and tone. In a real clip, they do not change. In a forged clip, they are
drawn again for every frame, as in a video that was forged frame by frame. Single frames of real and forged clips have
the same distribution, so only the flicker distinguishes them.

Example:
    >>> frames = list(render_clip(1, frames=2, size=32))
    >>> len(frames), frames[0].shape
    (2, (32, 32, 3))
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from auxface.data.synthetic.collection import IMAGES_PER_SOURCE, Bias, describe_face
from auxface.data.synthetic.description import Expression, FaceDescription, Forgery, Identity, Scene
from auxface.data.synthetic.render import render_face
from auxface.errors import InputError

if TYPE_CHECKING:
    import pandas as pd


_FACES_PER_PROCESS = 96
CLIPS_PER_SOURCE = 2
_CLIP_STREAM = 7
_CLIP_NOISE = 0.004
# Standard deviations of the overall tone and of each color, and the maximum loss of sharpness.
_TONE_DEVIATION, _TINT_DEVIATION, _LARGEST_SOFTNESS = 0.2, 0.02, 1.6


@dataclass(frozen=True)
class SyntheticFaces:
    """Rendered faces with their labels.

    Attributes:
        images: RGB images, uint8 [N, S, S, 3].
        table: table with one row per image, in the same order, and the columns ``split`` (train, val, test), ``source``
            (the person), ``frame`` (the index of the image among the person's images), ``emotion`` (class name),
            ``skin_tone``, ``age_group``, ``forged`` (0 or 1), and a 0/1 column for each name in ``ATTRIBUTES``.
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
    """Render a collection of faces with four images per person; all images of a person are in the same split.

    Args:
        count: number of images.
        seed: seed of the collection. The face with index i is the same for every ``count``.
        size: side of the images in pixels, 32 to 512.
        bias: dependence of a label on a group in the training split, or None to keep all labels independent of skin
            tone.
        splits: fractions of people in train, val and test, which must sum to 1; the actual fractions can differ by a
            few people.
        workers: number of processes; defaults to one per processor core, at most 8, and to one for a small collection.
            The result does not depend on this number.
        progress: function called with the number of faces done so far, by one thread at a time.

    Raises:
        InputError: ``count`` is below 1, the seed is negative, the size is outside 32..512, or the splits are invalid.
    """
    if count < 1:
        raise InputError(f"count must be 1 or more, not {count}")
    if seed < 0:
        raise InputError(f"seed must be 0 or more, not {seed}")
    if not 32 <= size <= 512:
        raise InputError(f"size of synthetic faces must be between 32 and 512 pixels, not {size}")
    if len(splits) != 3 or min(splits) < 0 or abs(sum(splits) - 1.0) > 1e-6:
        raise InputError(f"splits must be three numbers of 0 or more that sum to 1 (train, val, test), not {splits}")
    import pandas as pd  # Imported here because the child processes import this module and do not need tables.

    images = np.empty((count, size, size, 3), np.uint8)
    rows: list[dict[str, object]] = [{}] * count
    job = _Job(seed, size, bias, splits)
    tally = threading.Lock()
    done = 0

    def collect(faces: Iterator[_RenderedFace]) -> None:
        nonlocal done
        for index, row, image in faces:
            rows[index], images[index] = row, image
            with tally:
                done += 1
                if progress is not None:
                    progress(done)

    processes = max(1, min(workers or min(_processors(), 8), count // _FACES_PER_PROCESS))
    if processes == 1:
        collect(_render(range(count), job))
    else:
        with ThreadPoolExecutor(processes) as pool:
            lists = [range(first, count, processes) for first in range(processes)]
            for finished in [pool.submit(collect, _render_in_child(indices, job)) for indices in lists]:
                finished.result()
    return SyntheticFaces(images, pd.DataFrame(rows))


_RenderedFace = tuple[int, dict[str, object], np.ndarray]
"""Index, table row and image (uint8 [S, S, 3]) of a face."""


@dataclass(frozen=True)
class _Job:
    """The arguments common to all faces of a collection."""

    seed: int
    size: int
    bias: Bias | None
    splits: tuple[float, float, float]


def _render(indices: range, job: _Job) -> Iterator[_RenderedFace]:
    """Yield the faces with these indices."""
    for index in indices:
        face, row = describe_face(index, seed=job.seed, bias=job.bias, splits=job.splits)
        yield index, row, render_face(face, job.size)


def _render_in_child(indices: range, job: _Job) -> Iterator[_RenderedFace]:
    """Yield the faces with these indices, rendered in a child process.

    A plain subprocess is used because forked workers can hang once torch has started threads, and spawned workers
    import the main script of the caller again.
    """
    request = json.dumps({**asdict(job), "indices": [indices.start, indices.stop, indices.step]}) + "\n"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-c", "from auxface.data.synthetic.batch_rendering import main; main()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as child:
        try:
            assert child.stdin is not None
            assert child.stdout is not None
            child.stdin.write(request.encode())
            child.stdin.close()
            for index in indices:
                line = child.stdout.readline()
                if not line:
                    raise RuntimeError(f"a rendering process ended before synthetic face {index}")
                row = json.loads(line)
                if "error" in row:
                    raise InputError(row["error"])
                image = np.frombuffer(child.stdout.read(job.size * job.size * 3), np.uint8)
                yield index, row, image.reshape(job.size, job.size, 3)
        finally:
            child.kill()


def main() -> None:
    """Read a job from standard input, and write a JSON line and size * size * 3 bytes for each face."""
    cv2.setNumThreads(1)
    request = json.loads(sys.stdin.readline())
    bias = request["bias"]
    if bias is not None:
        bias = Bias(**{**bias, "favored": None if bias["favored"] is None else tuple(bias["favored"])})
    job = _Job(request["seed"], request["size"], bias, tuple(request["splits"]))
    out = sys.stdout.buffer
    try:
        for _, row, image in _render(range(*request["indices"]), job):
            out.write(json.dumps(row).encode() + b"\n" + image.tobytes())
    except InputError as error:
        out.write(json.dumps({"error": str(error)}).encode() + b"\n")
    out.flush()


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def describe_clip(
    index: int, *, seed: int = 0, splits: tuple[float, float, float] = (0.7, 0.1, 0.2)
) -> tuple[FaceDescription, dict[str, object]]:
    """Return the description of the first frame of the clip with index ``index``, and the table row of the clip.

    Every person has a real and a forged clip, which differ in expression and scene.

    Args:
        index: index of the clip, counted from 0. Clips 2i and 2i + 1 show the same person; the first is real, and the
            second is forged.
        seed: seed of the collection.
        splits: fractions of people in train, val and test.
    """
    person, forged = divmod(index, CLIPS_PER_SOURCE)
    face, row = describe_face(person * IMAGES_PER_SOURCE + forged, seed=seed, splits=splits)
    return replace(face, forgery=None), row | {"frame": 0, "forged": forged, "video": f"clip_{index:05d}"}


def render_clip(
    index: int, *, frames: int, seed: int = 0, size: int = 64, splits: tuple[float, float, float] = (0.7, 0.1, 0.2)
) -> Iterator[np.ndarray]:
    """Yield the frames of the clip with index ``index``, uint8 [size, size, 3] RGB.

    Args:
        index: index of the clip, counted from 0.
        frames: number of frames.
        seed: seed of the collection.
        size: side of the frames in pixels, 32 to 512.
        splits: fractions of people in train, val and test.

    Raises:
        InputError: the size is outside 32..512.
    """
    face, row = describe_clip(index, seed=seed, splits=splits)
    rng, skins = (np.random.default_rng([seed, _CLIP_STREAM, part, index]) for part in (0, 1))
    # Frequency (in cycles per frame), phase and amplitude of each movement.
    pace, start, reach = rng.uniform(0.02, 0.05, 8), rng.uniform(0, 2 * np.pi, 8), rng.uniform(0.4, 1.0, 8)
    skin = _draw_skin(face.identity, skins)
    for number in range(frames):
        # Python numbers are used because NumPy scalars would convert single precision to double.
        swing = (reach * np.sin(2 * np.pi * pace * number + start)).tolist()
        scene, expression = _scene(face.scene, swing, rng), _expression(face.expression, swing)
        yield render_face(replace(face, scene=scene, expression=expression, forgery=skin), size)
        if row["forged"]:
            skin = _draw_skin(face.identity, skins)


def _draw_skin(person: Identity, rng: np.random.Generator) -> Forgery:
    """Return a forgery whose donor is the same person with another skin pattern.

    Real clips also have such a forgery. Otherwise, the seam and sharpness of a single frame would reveal forged clips.
    """
    skin = replace(person, texture=int(rng.integers(0, 2**31)), freckles=float(rng.uniform(0, 1)))
    red, green, blue = (
        np.clip(rng.normal(1, _TONE_DEVIATION), 0.6, 1.4) * (1 + _TINT_DEVIATION * rng.standard_normal(3))
    ).tolist()
    return Forgery(skin, color=(red, green, blue), softness=float(rng.uniform(1.0, _LARGEST_SOFTNESS)), seam=0.08)


def _scene(scene: Scene, swing: list[float], rng: np.random.Generator) -> Scene:
    return replace(
        scene,
        yaw=scene.yaw + 2.5 * swing[0],
        pitch=scene.pitch + 1.2 * swing[1],
        roll=scene.roll + 1.2 * swing[2],
        shift_x=scene.shift_x + 0.012 * swing[3],
        shift_y=scene.shift_y + 0.012 * swing[4],
        noise=_CLIP_NOISE,
        noise_seed=int(rng.integers(0, 2**31)),
    )


def _expression(expression: Expression, swing: list[float]) -> Expression:
    return replace(
        expression,
        mouth_open=max(0.0, expression.mouth_open + 0.06 * swing[5]),
        brow_inner=expression.brow_inner + 0.08 * swing[6],
        gaze_x=expression.gaze_x + 0.15 * swing[7],
    )
