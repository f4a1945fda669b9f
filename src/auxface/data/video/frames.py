"""Read chosen frames of a video file, streamed: memory does not grow with its length, and no frame is decoded twice.

The packets' timestamps are listed first, without decoding, so frames are counted correctly in files with a variable
frame rate or a wrong header. Before each chosen frame the reader seeks to the nearest key frame if this saves
decoding.

Example::

    index = index_video(path)
    for number, frame in read_frames(path, index, uniform_frames(len(index), 32)):
        ...  # frame is uint8 [H, W, 3] RGB
"""

from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from auxface.errors import InputError

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

VIDEO_SUFFIXES: tuple[str, ...] = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv")
MAX_FRAMES = 1_000_000
MAX_FRAME_PIXELS = 100_000_000

Choice = Literal["uniform", "first", "clips"]


class UnreadableVideo(Exception):
    """A file that is not a readable video; the message is the reason, a short phrase."""


def is_video(path: str | PurePath) -> bool:
    """Return whether a file is a video, by its suffix."""
    return str(path).lower().endswith(VIDEO_SUFFIXES)


@dataclass(frozen=True)
class FrameSettings:
    """Settings that determine which frames of each video ``prepare`` extracts.

    Attributes:
        choice: ``uniform``: ``count`` frames spread evenly. ``first``: the first ``count`` frames that show a face.
            ``clips``: ``count`` clips spread evenly, each of ``length`` frames ``stride`` apart, written as one image
            with the frames below each other.
        count: number of frames, or clips, per video, 1 to 100,000.
        length: number of frames in a clip, 1 to 256.
        stride: distance between consecutive frames of a clip, 1 to 1000.

    Raises:
        InputError: a value outside its range.
    """

    choice: Choice = "uniform"
    count: int = 32
    length: int = 16
    stride: int = 4

    def __post_init__(self) -> None:
        if self.choice not in get_args(Choice):
            raise InputError(f"frames: choice '{self.choice}' must be {', '.join(get_args(Choice))}")
        for name, most in (("count", 100_000), ("length", 256), ("stride", 1000)):
            if not 1 <= getattr(self, name) <= most:
                raise InputError(f"frames: {name} {getattr(self, name)} must be from 1 to {most}")

    def to_json(self) -> dict[str, Any]:
        """Return the settings as plain JSON, for a manifest's header."""
        return asdict(self)


@dataclass(frozen=True)
class VideoIndex:
    """The frames of a video, as its packets list them.

    Attributes:
        times: int64 [N], presentation time of each frame in units of ``unit``, ascending.
        keys: bool [N], True for frames that can be decoded without earlier ones.
        width: width of a frame in pixels, before any rotation.
        height: height of a frame in pixels, before any rotation.
        unit: unit of the times, in seconds.
    """

    times: np.ndarray
    keys: np.ndarray
    width: int
    height: int
    unit: float = 1.0

    def __len__(self) -> int:
        return len(self.times)


def index_video(path: Path) -> VideoIndex:
    """Return the index of a video's frames without decoding them.

    Raises:
        UnreadableVideo: no such file, no video stream, no frame, or more frames or pixels than allowed.
        InputError: PyAV is not installed.
    """
    # Nine bytes per frame, where lists of Python numbers would take fifty.
    times, keys = array("q"), bytearray()
    with _open(path) as (container, stream):
        context = stream.codec_context
        width, height = context.width, context.height
        unit = float(stream.time_base or 1)
        if width * height > MAX_FRAME_PIXELS:
            raise UnreadableVideo(f"frames of {width}x{height} pixels; at most {MAX_FRAME_PIXELS / 1e6:.0f} megapixels")
        for packet in _packets(container, stream):
            if packet.pts is None or packet.size == 0 or packet.is_corrupt or packet.is_discard:
                continue
            times.append(packet.pts)
            keys.append(packet.is_keyframe)
            if len(times) > MAX_FRAMES:
                raise UnreadableVideo(f"more than {MAX_FRAMES} frames")
    if not times:
        raise UnreadableVideo("a video without frames")
    order = np.argsort(times, kind="stable")
    ordered = np.frombuffer(times, np.int64)[order]
    return VideoIndex(ordered, np.frombuffer(keys, bool)[order], width, height, unit)


def read_frames(path: Path, index: VideoIndex, numbers: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
    """Decode chosen frames and yield (number, uint8 [H, W, 3] RGB), upright, in ascending order.

    A frame that cannot be decoded is skipped; the frames after it are still read.

    Args:
        path: the video.
        index: the result of :func:`index_video`.
        numbers: frame numbers from 0, ascending, without repeats.

    Raises:
        UnreadableVideo: the file cannot be opened.
    """
    targets = list(numbers)
    if not targets:
        return
    key_rows = np.flatnonzero(index.keys)
    with _open(path) as (container, stream):
        decoder = _decode(container, stream)
        frame: Any = None
        at = -1
        for number in targets:
            before = key_rows[key_rows <= number]
            # Decoding from the last key frame is less work than decoding all frames in between.
            if len(before) and before[-1] > at + 1 and _seek(container, stream, int(index.times[before[-1]])):
                decoder, frame = _decode(container, stream), None
            time = int(index.times[number])
            while frame is None or frame.pts is None or frame.pts < time:
                frame = next(decoder, None)
                if frame is None:
                    break
            if frame is not None:
                at = int(np.searchsorted(index.times, frame.pts))
                image = _to_rgb(frame) if frame.pts == time else None
                if image is not None:
                    yield number, image


def stream_frames(path: Path) -> Iterator[tuple[int, np.ndarray]]:
    """Decode every frame from the start and yield (number, uint8 [H, W, 3] RGB), upright.

    Raises:
        UnreadableVideo: the file cannot be opened.
    """
    with _open(path) as (container, stream):
        for number, frame in enumerate(_decode(container, stream)):
            image = _to_rgb(frame)
            if image is not None:
                yield number, image


def uniform_frames(total: int, count: int) -> list[int]:
    """Return the middle frame of each of ``count`` equal parts of a video; all frames if it has at most ``count``."""
    if total <= count:
        return list(range(total))
    return [int((2 * part + 1) * total // (2 * count)) for part in range(count)]


def clip_frames(total: int, clips: int, length: int, stride: int) -> list[list[int]]:
    """Return the frame numbers of clips spread evenly over a video; empty if it is shorter than one clip.

    Args:
        total: number of frames in the video.
        clips: maximum number of clips. Clips of a short video may overlap but are never equal.
        length: number of frames in a clip.
        stride: distance between consecutive frames of a clip.
    """
    span = (length - 1) * stride + 1
    free = total - span
    if free < 0:
        return []
    starts = sorted({round(free * (part + 0.5) / clips) for part in range(clips)})
    return [list(range(start, start + span, stride)) for start in starts]


def recorded_clip(crop: object) -> dict[str, int]:
    """Return ``length`` and ``stride`` of the clips in a manifest, from its crop header; empty if it has none."""
    clip = crop.get("clip") if isinstance(crop, dict) else None
    if not isinstance(clip, dict):
        return {}
    return {str(name): value for name, value in clip.items() if isinstance(value, int)}


@contextmanager
def _open(path: Path) -> "Iterator[tuple[InputContainer, VideoStream]]":
    try:
        import av
        from av.error import FFmpegError
    except ImportError:
        raise InputError("videos are read with PyAV, which is not installed; pip install 'auxface[video]'") from None
    if not path.is_file():
        raise UnreadableVideo("no such file")
    if path.stat().st_size == 0:
        raise UnreadableVideo("empty file")
    try:
        # Files only: a playlist could name network addresses.
        container = av.open(str(path), options={"protocol_whitelist": "file"}, timeout=60)
    except (FFmpegError, OSError, ValueError, UnicodeError):
        raise UnreadableVideo("not a video") from None
    with container:
        if not container.streams.video:
            raise UnreadableVideo("no video stream")
        stream = container.streams.video[0]
        if stream.codec_context is None:
            raise UnreadableVideo("a codec that cannot be decoded")
        # Several videos are decoded at the same time, each by one thread, which bounds memory.
        stream.codec_context.thread_count = 1
        yield container, stream


def _packets(container: Any, stream: Any) -> Iterator[Any]:
    from av.error import FFmpegError

    packets = container.demux(stream)
    while True:
        try:
            yield next(packets)
        except (StopIteration, FFmpegError, OSError):
            return


def _decode(container: Any, stream: Any) -> Iterator[Any]:
    from av.error import FFmpegError

    for packet in _packets(container, stream):
        try:
            yield from packet.decode()
        except (FFmpegError, ValueError):
            continue


def _seek(container: Any, stream: Any, time: int) -> bool:
    from av.error import FFmpegError

    try:
        container.seek(time, stream=stream, backward=True, any_frame=False)
    except (FFmpegError, OSError):
        return False
    return True


def _to_rgb(frame: Any) -> np.ndarray | None:
    try:
        image = frame.to_ndarray(format="rgb24")
    # A corrupt stream can change to a format or size that cannot be converted.
    except (OSError, ValueError):
        return None
    # Phones store upright images rotated, with the rotation as metadata.
    quarter_turns = round((getattr(frame, "rotation", 0) or 0) / 90) % 4
    return np.ascontiguousarray(np.rot90(image, quarter_turns)) if quarter_turns else image
