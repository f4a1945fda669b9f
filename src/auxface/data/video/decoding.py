"""Opening of video files with PyAV, and decoding of frames as a player would display them.

A file is passed to FFmpeg as an open file without a name, and only demuxers that read a single file are allowed.
Therefore, no playlist can open another file, and neither the name nor the suffix of a file matters.

Example::

    with open_video(path) as (container, stream):
        convert = FrameConverter(stream)
        for frame in decode(container, stream):
            image = convert(frame)   # uint8 [H, W, 3], or None
"""

import io
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from auxface.errors import InputError

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

VideoSource = Path | bytes
"""A video file, or its bytes."""
Check = Callable[[], None]
"""Function called before each packet and after each decoded frame; it raises an exception to stop decoding."""

MAX_FRAME_PIXELS = 100_000_000
SEEKABLE = ("mov", "matroska")
"""Demuxers that can seek to exact frames and provide the presentation time of each frame."""
_DEMUXERS = "mov,matroska,webm,avi,mpeg,mpegts,mpegvideo,h264,hevc,m4v,asf,flv,ogg,wav"
_MAX_ASPECT_RATIO = 4.0


class UnreadableVideo(Exception):
    """Raised for a file that is not a readable video; the message is the reason, a short phrase."""


def nothing() -> None:
    """Do nothing; used as the default of ``check``."""


@contextmanager
def open_video(source: VideoSource) -> "Iterator[tuple[InputContainer, VideoStream]]":
    """Open a video and its main video stream, skipping cover images.

    Raises:
        UnreadableVideo: the file does not exist or is not a video, or its codec cannot be decoded.
        InputError: PyAV is not installed.
    """
    try:
        import av
        from av.error import FFmpegError
    except ImportError:
        raise InputError("videos are read with PyAV, which is not installed; pip install 'auxface[video]'") from None
    with ExitStack() as opened:
        file = io.BytesIO(source) if isinstance(source, bytes) else opened.enter_context(_open_file(source))
        try:
            options = {"format_whitelist": _DEMUXERS, "protocol_whitelist": "none"}
            container: Any = opened.enter_context(av.open(UnnamedFile(file), options=options, buffer_size=1 << 17))
        except (FFmpegError, OSError, ValueError, UnicodeError):
            raise UnreadableVideo("not a video") from None
        videos = [stream for stream in container.streams.video if not _is_cover(stream)]
        if not videos:
            raise UnreadableVideo("no video stream")
        best = container.streams.best("video")
        stream: Any = best if best in videos else videos[0]
        if stream.codec_context is None:
            raise UnreadableVideo("its codec cannot be decoded")
        # Several videos are decoded at the same time, each by a single thread, which bounds memory.
        stream.codec_context.thread_count = 1
        # The limit applies to every frame, because the size of frames can change within a stream.
        stream.codec_context.options = {"max_pixels": str(MAX_FRAME_PIXELS)}
        yield container, stream


def packets(container: Any, stream: Any, check: Check = nothing) -> Iterator[Any]:
    """Yield the packets of a stream, the last of which is empty and flushes the decoder.

    In a corrupt file, iteration ends early.
    """
    from av.error import FFmpegError

    demuxed = container.demux(stream)
    while True:
        check()
        try:
            yield next(demuxed)
        except (StopIteration, FFmpegError, OSError):
            return


def decode(container: Any, stream: Any, check: Check = nothing) -> Iterator[Any]:
    """Yield the frames from the current position, skipping packets that cannot be decoded."""
    from av.error import FFmpegError

    flushed = False
    for packet in packets(container, stream, check):
        flushed = packet.size == 0
        try:
            frames = packet.decode()
        except (FFmpegError, ValueError):
            continue
        for frame in frames:
            check()
            yield frame
    if not flushed:
        # The file ended with an error, but the decoder still holds frames.
        try:
            yield from stream.codec_context.decode(None)
        except (FFmpegError, ValueError):
            return


def seek(container: Any, stream: Any, time: int) -> bool:
    """Seek to the last key frame at or before a time, and return whether seeking succeeded."""
    from av.error import FFmpegError

    try:
        container.seek(time, stream=stream, backward=True, any_frame=False)
    except (FFmpegError, OSError):
        return False
    return True


class FrameConverter:
    """Converts the frames of a stream to RGB as a player would display them, upright and with square pixels.

    Args:
        stream: video stream, which specifies the aspect ratio of its pixels.
    """

    def __init__(self, stream: Any) -> None:
        stated = stream.sample_aspect_ratio
        ratio = float(stated) if stated else 1.0
        self._pixel_ratio = ratio if 1 / _MAX_ASPECT_RATIO <= ratio <= _MAX_ASPECT_RATIO else 1.0
        self._matrix: np.ndarray | None = None
        self._is_first = True

    def __call__(self, frame: Any) -> np.ndarray | None:
        """Return a frame as uint8 [H, W, 3], or None if it cannot be converted."""
        if self._is_first:
            # Read only once, because PyAV's side data refers back to its frame, which delays freeing the frame.
            self._matrix, self._is_first = _display_matrix(frame), False
        width = max(1, round(frame.width * self._pixel_ratio))
        try:
            if width != frame.width and width * frame.height <= MAX_FRAME_PIXELS:
                frame = frame.reformat(width=width, height=frame.height, format="rgb24")
            image = frame.to_ndarray(format="rgb24")
        # A corrupt stream can switch to a format or size that cannot be converted.
        except (OSError, ValueError):
            return None
        return _upright(image, self._matrix)


class UnnamedFile:
    """An open file without its name, which FFmpeg would use to guess the format."""

    def __init__(self, file: BinaryIO) -> None:
        self.read, self.seek, self.tell = file.read, file.seek, file.tell


def _open_file(path: Path) -> BinaryIO:
    try:
        # Reading from a pipe or a device could block.
        if not path.is_file():
            raise UnreadableVideo("no such file")
        if path.stat().st_size == 0:
            raise UnreadableVideo("empty file")
        return path.open("rb")
    except PermissionError:
        raise UnreadableVideo("no permission to read it") from None
    except (OSError, ValueError) as error:
        raise UnreadableVideo(f"cannot be opened ({getattr(error, 'strerror', None) or 'invalid name'})") from None


def _is_cover(stream: Any) -> bool:
    from av.stream import Disposition

    return bool(stream.disposition & Disposition.attached_pic)


def _display_matrix(frame: Any) -> np.ndarray | None:
    """Return the 2x2 part of the frame's display matrix, or None if the frame has no matrix."""
    side_data = frame.side_data
    for at in range(len(side_data)):
        if getattr(side_data[at].type, "name", "") == "DISPLAYMATRIX":
            values = np.frombuffer(bytes(side_data[at]), np.int32)
            return values.reshape(3, 3)[:2, :2].T if len(values) == 9 else None
    return None


def _upright(image: np.ndarray, matrix: np.ndarray | None) -> np.ndarray:
    """Rotate an image by the nearest multiple of 90 degrees, and mirror it, according to its display matrix."""
    if matrix is None:
        return image
    (xx, xy), (yx, yy) = matrix.astype(float)
    if abs(xx) + abs(yy) < abs(xy) + abs(yx):
        image, xx, yy = image.transpose(1, 0, 2), xy, yx
    image = image[:, ::-1] if xx < 0 else image
    image = image[::-1] if yy < 0 else image
    return np.ascontiguousarray(image)
