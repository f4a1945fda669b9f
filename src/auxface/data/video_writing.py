"""Frames to an H.264 file, one at a time."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from auxface.atomic import atomic_file
from auxface.errors import InputError


def write_video(path: Path, frames: Iterable[np.ndarray], *, rate: int = 25, rate_factor: int = 18) -> None:
    """Write an MP4 of frames of one size, whole or not at all; the same frames give the same bytes.

    Args:
        path: the file to make.
        frames: uint8 [H, W, 3] RGB with even sides; at least one.
        rate: frames per second.
        rate_factor: constant rate factor of x264, 0 (lossless) to 51.

    Raises:
        InputError: PyAV is not installed, or FFmpeg was built without x264.
    """
    try:
        import av
        from av.error import FFmpegError
    except ImportError:
        raise InputError("videos are written with PyAV, which is not installed; pip install 'auxface[video]'") from None
    with atomic_file(path) as beside:
        try:
            with av.open(str(beside), "w", format="mp4") as container:
                stream = container.add_stream("libx264", rate=rate)
                stream.pix_fmt = "yuv420p"
                # More threads cut a frame elsewhere on every machine; x264's macroblock tree was seen to write the same
                # frames in several ways.
                stream.options = {"crf": str(rate_factor), "threads": "1", "x264-params": "mbtree=0"}
                for number, frame in enumerate(frames):
                    if number == 0:
                        stream.height, stream.width = frame.shape[:2]
                    container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
                container.mux(stream.encode())
        except (FFmpegError, ValueError) as error:
            raise InputError(f"{path}: the video cannot be written ({error})") from None
