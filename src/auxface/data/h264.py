"""What a picture looks like after H.264, as the first frame of a video compressed at a constant rate factor.

FaceForensics++ (Rössler et al., 2019) names its compressed videos c23 and c40 after x264's rate factor. A lone picture
is coded within itself; a video's later frames also lean on the ones before, so that they lose a little less or more.
"""

from fractions import Fraction
from typing import Any

import numpy as np
import torch
from torch import Tensor

from auxface.errors import InputError

RATE_FACTORS = (23, 40)
"""Light and strong compression, as the field reports them."""


def through_h264(pictures: Tensor, rate_factor: int) -> Tensor:
    """Pictures after x264 at a constant rate factor, each by itself.

    Args:
        pictures: uint8 [B, 3, H, W], RGB.
        rate_factor: 0 (lossless) to 51.

    Returns:
        uint8 [B, 3, H, W] on the device of ``pictures``.

    Raises:
        InputError: FFmpeg was built without x264.
        ValueError: a rate factor outside 0..51.
    """
    if not 0 <= rate_factor <= 51:
        raise ValueError(f"an H.264 rate factor lies in 0..51, not {rate_factor}")
    rows = pictures.permute(0, 2, 3, 1).cpu().numpy()
    if not len(rows):
        return pictures.clone()
    height, width = rows.shape[1:3]
    # 4:2:0 colour needs even sides.
    padded = np.pad(rows, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    changed = np.stack([_one(np.ascontiguousarray(picture), rate_factor) for picture in padded])
    return torch.from_numpy(changed[:, :height, :width].copy()).permute(0, 3, 1, 2).contiguous().to(pictures.device)


def _one(picture: np.ndarray, rate_factor: int) -> np.ndarray:
    import av

    encoder: Any = _codec("libx264", "w")
    encoder.height, encoder.width = picture.shape[:2]
    encoder.pix_fmt, encoder.time_base = "yuv420p", Fraction(1, 25)
    # One thread, so that the bytes are the same on every machine.
    encoder.options = {"crf": str(rate_factor), "threads": "1"}
    frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")
    frame.pts = 0
    packets = [*encoder.encode(frame), *encoder.encode(None)]
    decoder: Any = _codec("h264", "r")
    frames = [made for packet in packets for made in decoder.decode(packet)] + list(decoder.decode(None))
    return frames[0].to_ndarray(format="rgb24")


def _codec(name: str, mode: str) -> Any:
    import av
    from av.error import FFmpegError

    try:
        return av.CodecContext.create(name, mode)  # pyright: ignore[reportArgumentType, reportCallIssue]
    except (FFmpegError, ValueError) as error:
        raise InputError(f"H.264 needs an FFmpeg with {name}, which this one lacks ({error}); leave h264 out") from None
