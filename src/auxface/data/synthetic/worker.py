"""Rendering a list of faces, here or in a child process of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import cv2
import numpy as np

from auxface.data.synthetic.bias import Bias
from auxface.data.synthetic.render import render_face
from auxface.data.synthetic.sampling import describe_face
from auxface.errors import InputError

RenderedFace = tuple[int, dict[str, object], np.ndarray]
"""(number, table row, picture uint8 [S, S, 3])"""


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
    command = [sys.executable, "-c", "from auxface.data.synthetic.worker import main; main()"]
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
                picture = np.frombuffer(child.stdout.read(job.size * job.size * 3), np.uint8)
                yield index, row, picture.reshape(job.size, job.size, 3)
        finally:
            child.kill()


def main() -> None:
    """The child: reads a job from standard input, writes per face one line of JSON, then size * size * 3 bytes."""
    cv2.setNumThreads(1)
    request = json.loads(sys.stdin.readline())
    bias = request["bias"]
    if bias is not None:
        bias = Bias(**{**bias, "favoured": None if bias["favoured"] is None else tuple(bias["favoured"])})
    job = Job(request["seed"], request["size"], bias, tuple(request["splits"]))
    out = sys.stdout.buffer
    try:
        for _, row, picture in render_here(range(*request["indices"]), job):
            out.write(json.dumps(row).encode() + b"\n" + picture.tobytes())
    except InputError as error:
        out.write(json.dumps({"error": str(error)}).encode() + b"\n")
    out.flush()
