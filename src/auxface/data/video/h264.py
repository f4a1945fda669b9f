"""H.264 encoding of videos to files, and of single images as a corruption by video compression.

FaceForensics++ (Rössler et al., 2019) names its compressed videos c23 and c40 after x264's constant rate factor. A
single image is coded as a key frame. Later frames of a video are predicted from earlier frames, so their loss of
quality differs slightly.

Example::

    write_video(Path("clip.mp4"), frames)   # uint8 [H, W, 3] each
    worse = compress_h264(images, 40)       # uint8 [B, 3, H, W]
"""

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from auxface.atomic import atomic_file
from auxface.errors import InputError

RATE_FACTORS = (23, 40)
"""Rate factors of light and strong compression in publications on forgery detection."""


def compress_h264(images: Tensor, rate_factor: int) -> Tensor:
    """Encode each image separately with x264 at a constant rate factor, and decode the result.

    Args:
        images: RGB images, uint8 [B, 3, H, W].
        rate_factor: constant rate factor, 0 (lossless) to 51.

    Returns:
        Decoded images, uint8 [B, 3, H, W], on the device of ``images``.

    Raises:
        InputError: FFmpeg was built without x264.
        ValueError: the rate factor is outside 0..51.
    """
    if not 0 <= rate_factor <= 51:
        raise ValueError(f"an H.264 rate factor must be between 0 and 51, not {rate_factor}")
    rows = images.permute(0, 2, 3, 1).cpu().numpy()
    if not len(rows):
        return images.clone()
    height, width = rows.shape[1:3]
    # 4:2:0 chroma subsampling requires even sides.
    padded = np.pad(rows, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    compressed = np.stack([_compress_one(np.ascontiguousarray(image), rate_factor) for image in padded])
    result = torch.from_numpy(compressed[:, :height, :width].copy())
    return result.permute(0, 3, 1, 2).contiguous().to(images.device)


def _compress_one(image: np.ndarray, rate_factor: int) -> np.ndarray:
    import av

    encoder: Any = _codec("libx264", "w")
    encoder.height, encoder.width = image.shape[:2]
    encoder.pix_fmt, encoder.time_base = "yuv420p", Fraction(1, 25)
    # With a single thread, the bytes are the same on every machine.
    encoder.options = {"crf": str(rate_factor), "threads": "1"}
    frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p")
    frame.pts = 0
    packets = [*encoder.encode(frame), *encoder.encode(None)]
    decoder: Any = _codec("h264", "r")
    frames = [decoded for packet in packets for decoded in decoder.decode(packet)] + list(decoder.decode(None))
    return frames[0].to_ndarray(format="rgb24")


def _codec(name: str, mode: str) -> Any:
    import av
    from av.error import FFmpegError

    try:
        return av.CodecContext.create(name, mode)  # pyright: ignore[reportArgumentType, reportCallIssue]
    except (FFmpegError, ValueError) as error:
        raise InputError(
            f"H.264 needs FFmpeg with {name}, which the installed FFmpeg lacks ({error}); omit the corruption h264"
        ) from None


def write_video(path: Path, frames: Iterable[np.ndarray], *, rate: int = 25, rate_factor: int = 18) -> None:
    """Write an MP4 file atomically; equal frames give equal bytes.

    Args:
        path: file to write.
        frames: one or more RGB frames, uint8 [H, W, 3], all of the same size, with even width and height.
        rate: number of frames per second.
        rate_factor: constant rate factor of x264, 0 (lossless) to 51.

    Raises:
        InputError: PyAV is not installed, or FFmpeg was built without x264.
    """
    try:
        import av
        from av.error import FFmpegError
    except ImportError:
        raise InputError("videos are written with PyAV, which is not installed; pip install 'auxface[video]'") from None
    with atomic_file(path) as temporary:
        try:
            with av.open(str(temporary), "w", format="mp4") as container:
                stream = container.add_stream("libx264", rate=rate)
                stream.pix_fmt = "yuv420p"
                # The number of threads affects the bytes, and x264's macroblock tree was observed to produce different
                # bytes for equal frames.
                stream.options = {"crf": str(rate_factor), "threads": "1", "x264-params": "mbtree=0"}
                for number, frame in enumerate(frames):
                    if number == 0:
                        stream.height, stream.width = frame.shape[:2]
                    container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
                container.mux(stream.encode())
        except (FFmpegError, ValueError) as error:
            raise InputError(f"{path}: the video cannot be written ({error})") from None
