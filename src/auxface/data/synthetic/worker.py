"""A child process of `render_faces`: reads one job from standard input, writes a row and a picture per face to standard output."""

import json
import sys

import cv2

from auxface.data.synthetic.bias import Bias
from auxface.data.synthetic.render import render_face
from auxface.data.synthetic.sampling import describe_face
from auxface.errors import InputError


def main() -> None:
    """Renders the faces of the job: per face one line of JSON, then size * size * 3 bytes."""
    job = json.loads(sys.stdin.readline())
    cv2.setNumThreads(1)
    bias = job["bias"]
    if bias is not None:
        bias = Bias(**{**bias, "favoured": None if bias["favoured"] is None else tuple(bias["favoured"])})
    out = sys.stdout.buffer
    for index in range(*job["indices"]):
        try:
            face, row = describe_face(index, seed=job["seed"], bias=bias, splits=tuple(job["splits"]))
        except InputError as error:
            out.write(json.dumps({"error": str(error)}).encode() + b"\n")
            return
        out.write(json.dumps(row).encode() + b"\n")
        out.write(render_face(face, job["size"]).tobytes())
    out.flush()


if __name__ == "__main__":
    main()
