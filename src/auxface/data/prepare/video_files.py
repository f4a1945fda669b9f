"""From one video to the images that are wanted of it: frames, or clips of one tracked face."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np

from auxface.data.faces import FaceCutter
from auxface.data.video.frames import (
    FrameSettings,
    UnreadableVideo,
    VideoIndex,
    clip_frames,
    index_video,
    read_frames,
    stream_frames,
    uniform_frames,
)

_LOOKED_AT = 1000
_STRIP_PIXELS = 100_000_000


@dataclass(frozen=True)
class Taken:
    """A frame, clip or face of a video.

    Attributes:
        status: ``usable``, ``no_face`` or ``unreadable``.
        reason: why it is not usable.
        image: uint8 [H, W, 3], of a clip [frames * H, W, 3]; None where there is none, or the video stays as it is.
        frame: number of the (first) frame.
        ending: tells faces of one frame apart.
    """

    status: Literal["usable", "no_face", "unreadable"]
    reason: str = ""
    image: np.ndarray | None = None
    frame: int = 0
    ending: str = ""


def take_frames(
    path: Path, mask: Path | None, settings: FrameSettings | None, cutter: FaceCutter | None
) -> Iterator[Taken]:
    """Take what is wanted from one video.

    Args:
        path: of the video.
        mask: a video that is not black where the face was forged, or None.
        settings: which frames; None: the video is only checked, by decoding its first frame.
        cutter: cuts faces out of them; None keeps whole frames.

    Raises:
        UnreadableVideo: the video cannot be opened, or has no frame that can be decoded.
    """
    index = index_video(path)
    if settings is None:
        if not any(True for _ in islice(stream_frames(path), 1)):
            raise UnreadableVideo("not one frame can be decoded")
        yield Taken("usable")
    elif settings.choice == "clips":
        yield from _clips(path, mask, index, settings, cutter)
    elif settings.choice == "first" and cutter is not None:
        yield from _first(path, mask, settings.count, cutter)
    else:
        count = len(index)
        numbers = uniform_frames(count, settings.count) if settings.choice == "uniform" else range(count)
        yield from _stills(path, mask, index, list(numbers)[: settings.count], cutter)


def _stills(
    path: Path, mask: Path | None, index: VideoIndex, numbers: Sequence[int], cutter: FaceCutter | None
) -> Iterator[Taken]:
    masks = _Masks(mask, cutter)
    left = set(numbers)
    for number, frame in read_frames(path, index, numbers):
        left.discard(number)
        yield from _faces(frame, number, masks, cutter)
    for number in sorted(left):
        yield Taken("unreadable", f"frame {number} cannot be decoded", frame=number)


def _first(path: Path, mask: Path | None, count: int, cutter: FaceCutter) -> Iterator[Taken]:
    masks = _Masks(mask, cutter)
    found = 0
    for number, frame in islice(stream_frames(path), count + _LOOKED_AT):
        taken = list(_faces(frame, number, masks, cutter))
        if taken[0].status == "usable":
            yield from taken
            found += 1
            if found == count:
                return
    if found == 0:
        yield Taken("no_face", f"no face in the first {count + _LOOKED_AT} frames")


def _clips(
    path: Path, mask: Path | None, index: VideoIndex, settings: FrameSettings, cutter: FaceCutter | None
) -> Iterator[Taken]:
    wanted = clip_frames(len(index), settings.count, settings.length, settings.stride)
    if not wanted:
        raise UnreadableVideo(
            f"{len(index)} frames are fewer than a clip's {(settings.length - 1) * settings.stride + 1}"
        )
    for numbers in wanted:
        frames = [frame for _, frame in read_frames(path, index, numbers)]
        first = numbers[0]
        if len(frames) < len(numbers) or len({frame.shape for frame in frames}) > 1:
            yield Taken("unreadable", f"the clip from frame {first} cannot be decoded", frame=first)
            continue
        if cutter is None:
            clip = frames
        else:
            masks = _Masks(mask, cutter)
            clip = cutter.cut_clip(frames, [masks.at(number) for number in numbers])
        if clip is None:
            yield Taken("no_face", f"no face in the clip from frame {first}", frame=first)
        elif clip[0].size // 3 * len(clip) > _STRIP_PIXELS:
            yield Taken("unreadable", f"the clip from frame {first} is larger than 100 megapixels", frame=first)
        else:
            yield Taken("usable", image=np.concatenate(clip), frame=first)


def _faces(frame: np.ndarray, number: int, masks: "_Masks", cutter: FaceCutter | None) -> Iterator[Taken]:
    if cutter is None:
        yield Taken("usable", image=frame, frame=number)
        return
    faces = cutter.cut(frame, masks.at(number))
    if not faces:
        yield Taken("no_face", f"no face found in frame {number}", frame=number)
    for at, (_, image) in enumerate(faces):
        yield Taken("usable", image=image, frame=number, ending="" if len(faces) == 1 else f"-{at}")


class _Masks:
    """The masks of a video's frames, one at a time, asked for in ascending order."""

    def __init__(self, path: Path | None, cutter: FaceCutter | None) -> None:
        self._path = path if cutter is not None and cutter.settings.which == "mask" else None
        self._index: VideoIndex | None = None

    def at(self, number: int) -> np.ndarray | None:
        """The mask of a frame, bool [H, W], or None where there is none."""
        if self._path is None:
            return None
        try:
            self._index = self._index or index_video(self._path)
            if number >= len(self._index):
                return None
            found = next(read_frames(self._path, self._index, [number]), None)
        except UnreadableVideo:
            self._path = None
            return None
        # Compression leaves black areas not quite black.
        return None if found is None else found[1].max(2) > 32
