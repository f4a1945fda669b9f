"""Reading of chosen frames of a video; memory use does not depend on its length, and no frame is decoded twice.

The timestamps of the packets are listed first, without decoding, so frames are counted correctly in files with a
variable frame rate or a wrong header. Before each chosen frame, the reader seeks to the nearest preceding key frame if
this saves decoding.

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
        choice: ``uniform`` for ``count`` evenly spaced frames, ``first`` for the first ``count`` frames that show a
            face, or ``clips`` for ``count`` evenly spaced clips, each of ``length`` frames ``stride`` apart and written
            as one image with the frames stacked vertically.
        count: number of frames or clips per video, 1 to 100,000.
        length: number of frames in a clip, 1 to 256.
        stride: distance between consecutive frames of a clip, 1 to 1000.

    Raises:
        InputError: a value is out of range.
    """

    choice: Choice = "uniform"
    count: int = 32
    length: int = 16
    stride: int = 4

    def __post_init__(self) -> None:
        if self.choice not in get_args(Choice):
            raise InputError(f"frames: choice '{self.choice}' must be one of {', '.join(get_args(Choice))}")
        for name, most in (("count", 100_000), ("length", 256), ("stride", 1000)):
            if not 1 <= getattr(self, name) <= most:
                raise InputError(f"frames: {name} {getattr(self, name)} must be between 1 and {most}")

    def to_json(self) -> dict[str, Any]:
        """Return the settings as plain JSON, for a manifest's header."""
        return asdict(self)


@dataclass(frozen=True)
class VideoIndex:
    """The frames of a video, as listed by its packets.

    Attributes:
        times: presentation times of the frames as multiples of ``unit``, int64 [N], in ascending order.
        keys: whether each frame can be decoded without earlier frames, bool [N].
        width: width of a frame in pixels, before any rotation.
        height: height of a frame in pixels, before any rotation.
        unit: unit of the times, in seconds.
        seekable: whether the file provides the presentation time of each frame. In other files (AVI, MPEG, raw H.264),
            frames are numbered in the order in which the decoder returns them, and are read from the start.
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
        """The presentation times of the frames in seconds after the first frame, float64 [N]."""
        # Modulo 2**64, the difference is correct even if it exceeds int64.
        return (self.times - self.times[0]).view(np.uint64) * self.unit

    def count_decoded(self, numbers: Sequence[int]) -> int:
        """Return how many frames must be decoded to read the frames with these indices, given in ascending order."""
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
        source: video file or its bytes.
        check: function called before each packet; it may raise an exception to stop.

    Raises:
        UnreadableVideo: the file does not exist, has no video stream or no frames, or has more frames or pixels than
            allowed.
        InputError: PyAV is not installed.
    """
    # Arrays take nine bytes per frame; lists of Python numbers would take fifty.
    times, keys = array("q"), bytearray()
    count = 0
    with open_video(source) as (container, stream):
        context = stream.codec_context
        width, height = context.width, context.height
        unit = float(stream.time_base or 1)
        rate = float(stream.average_rate or 25)
        seekable = container.format.name.startswith(SEEKABLE)
        if width * height > MAX_FRAME_PIXELS:
            raise UnreadableVideo(
                f"frames of {width}x{height} pixels; at most {MAX_FRAME_PIXELS / 1e6:.0f} megapixels are read"
            )
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
        # Frames without timestamps are assumed to follow each other at the stated rate.
        return VideoIndex(np.arange(count), np.zeros(count, bool), width, height, 1 / rate, seekable=False)
    order = np.argsort(times, kind="stable")
    ordered = np.frombuffer(times, np.int64)[order]
    return VideoIndex(ordered, np.frombuffer(keys, bool)[order], width, height, unit, seekable)


def read_frames(
    source: VideoSource, index: VideoIndex, numbers: Sequence[int], *, check: Check = nothing
) -> Iterator[tuple[int, np.ndarray]]:
    """Decode chosen frames as a player would display them, and yield (index, uint8 [H, W, 3] RGB) in ascending order.

    A frame that cannot be decoded is skipped, but later frames are still read.

    Args:
        source: video file or its bytes.
        index: index of the video from :func:`index_video`.
        numbers: distinct frame indices, counted from 0, in ascending order.
        check: function called before each packet and after each decoded frame; it may raise an exception to stop.

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
    """Decode every frame from the start as a player would display it, and yield (index, uint8 [H, W, 3] RGB).

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
    """Return the last key frame at or before a frame, or None if decoding from frame ``at`` requires no more work."""
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
    """Return the index of the middle frame of each of ``count`` equal parts, or all indices of a shorter video."""
    if total <= count:
        return list(range(total))
    return [int((2 * part + 1) * total // (2 * count)) for part in range(count)]


def clip_frames(total: int, clips: int, length: int, stride: int) -> list[list[int]]:
    """Return the frame indices of evenly spaced clips, or an empty list if the video is shorter than one clip.

    Args:
        total: number of frames in the video.
        clips: maximum number of clips. Clips of a short video may overlap but are never identical.
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
    """Return the ``length`` and ``stride`` of a manifest's clips from its crop header, or {} if there are no clips."""
    clip = crop.get("clip") if isinstance(crop, dict) else None
    if not isinstance(clip, dict):
        return {}
    return {str(name): value for name, value in clip.items() if isinstance(value, int)}
