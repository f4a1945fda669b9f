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
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import numpy as np

from auxface.data.video.decoding import (
    MAX_FRAME_PIXELS,
    SEEKABLE,
    Check,
    FrameConverter,
    UnreadableVideo,
    VideoSource,
    decode,
    nothing,
    open_video,
    packets,
    seek,
)
from auxface.errors import InputError

MAX_FRAMES = 1_000_000

Choice = Literal["uniform", "first", "clips"]


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
        seekable: whether the file states when each frame is shown. In other files (AVI, MPEG, plain H.264), frames are
            numbered in the order in which the decoder returns them, and read from the start.
    """

    times: np.ndarray
    keys: np.ndarray
    width: int
    height: int
    unit: float = 1.0
    seekable: bool = True

    def __len__(self) -> int:
        return len(self.times)

    @property
    def seconds(self) -> np.ndarray:
        """Float64 [N], presentation time of each frame in seconds after the first."""
        # Modulo 2**64 the difference is right even where it exceeds int64.
        return (self.times - self.times[0]).view(np.uint64) * self.unit

    def count_decoded(self, numbers: Sequence[int]) -> int:
        """Return how many frames are decoded to read the frames of these ascending numbers."""
        if not len(numbers):
            return 0
        if not self.seekable:
            return max(numbers) + 1
        keys = np.flatnonzero(self.keys)
        total, at = 0, -1
        for number in numbers:
            start = _seek_target(keys, number, at)
            total += number - (at if start is None else start - 1)
            at = number
        return total


def index_video(source: VideoSource, *, check: Check = nothing) -> VideoIndex:
    """Return the index of a video's frames without decoding them.

    Args:
        source: the video.
        check: called before each packet.

    Raises:
        UnreadableVideo: no such file, no video stream, no frame, or more frames or pixels than allowed.
        InputError: PyAV is not installed.
    """
    # Nine bytes per frame, where lists of Python numbers would take fifty.
    times, keys = array("q"), bytearray()
    count = 0
    with open_video(source) as (container, stream):
        context = stream.codec_context
        width, height = context.width, context.height
        unit = float(stream.time_base or 1)
        rate = float(stream.average_rate or 25)
        seekable = container.format.name.startswith(SEEKABLE)
        if width * height > MAX_FRAME_PIXELS:
            raise UnreadableVideo(f"frames of {width}x{height} pixels; at most {MAX_FRAME_PIXELS / 1e6:.0f} megapixels")
        for packet in packets(container, stream, check):
            if packet.size == 0 or packet.is_discard:
                continue
            count += 1
            if packet.pts is not None:
                times.append(packet.pts)
                keys.append(packet.is_keyframe)
            if count > MAX_FRAMES:
                raise UnreadableVideo(f"more than {MAX_FRAMES} frames")
    if not times and (seekable or not count):
        raise UnreadableVideo("a video without frames")
    if not seekable and len(times) < count:
        # Frames without timestamps follow each other at the stated rate.
        return VideoIndex(np.arange(count), np.zeros(count, bool), width, height, 1 / rate, seekable=False)
    order = np.argsort(times, kind="stable")
    ordered = np.frombuffer(times, np.int64)[order]
    return VideoIndex(ordered, np.frombuffer(keys, bool)[order], width, height, unit, seekable)


def read_frames(
    source: VideoSource, index: VideoIndex, numbers: Sequence[int], *, check: Check = nothing
) -> Iterator[tuple[int, np.ndarray]]:
    """Decode chosen frames and yield (number, uint8 [H, W, 3] RGB), as a player shows them, in ascending order.

    A frame that cannot be decoded is skipped; the frames after it are still read.

    Args:
        source: the video.
        index: the result of :func:`index_video`.
        numbers: frame numbers from 0, ascending, without repeats.
        check: called before each packet and after each decoded frame.

    Raises:
        UnreadableVideo: the file cannot be opened.
    """
    targets = list(numbers)
    if not targets:
        return
    if not index.seekable:
        yield from _read_in_order(source, targets, check)
        return
    keys = np.flatnonzero(index.keys)
    with open_video(source) as (container, stream):
        convert = FrameConverter(stream)
        decoder = decode(container, stream, check)
        frame: Any = None
        at = -1
        for number in targets:
            start = _seek_target(keys, number, at)
            if start is not None and seek(container, stream, int(index.times[start])):
                decoder, frame = decode(container, stream, check), None
            time = int(index.times[number])
            while frame is None or frame.pts is None or frame.pts < time:
                frame = next(decoder, None)
                if frame is None:
                    break
            if frame is not None:
                at = int(np.searchsorted(index.times, frame.pts))
                image = convert(frame) if frame.pts == time else None
                if image is not None:
                    yield number, image


def stream_frames(source: VideoSource, *, check: Check = nothing) -> Iterator[tuple[int, np.ndarray]]:
    """Decode every frame from the start and yield (number, uint8 [H, W, 3] RGB), as a player shows them.

    Raises:
        UnreadableVideo: the file cannot be opened.
    """
    with open_video(source) as (container, stream):
        convert = FrameConverter(stream)
        for number, frame in enumerate(decode(container, stream, check)):
            image = convert(frame)
            if image is not None:
                yield number, image


def _seek_target(keys: np.ndarray, number: int, at: int) -> int | None:
    """Return the last key frame at or before a frame, if decoding from it is less work than from frame ``at``."""
    before = int(np.searchsorted(keys, number, side="right"))
    return int(keys[before - 1]) if before and keys[before - 1] > at + 1 else None


def _read_in_order(source: VideoSource, targets: list[int], check: Check) -> Iterator[tuple[int, np.ndarray]]:
    remaining = iter(targets)
    target = next(remaining)
    with open_video(source) as (container, stream):
        convert = FrameConverter(stream)
        for number, frame in enumerate(decode(container, stream, check)):
            if number < target:
                continue
            image = convert(frame)
            if image is not None:
                yield number, image
            following = next(remaining, None)
            if following is None:
                return
            target = following


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
