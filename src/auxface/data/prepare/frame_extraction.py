"""Extraction of frames, or of clips of one tracked face, from a video.

Example::

    for frame in extract_frames(path, None, FrameSettings(count=32), FaceCropper(FaceSettings())):
        ...  # frame.status, frame.number, frame.image: uint8 [224, 224, 3]
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np

from auxface.data.faces import FaceCropper
from auxface.data.video.decoding import UnreadableVideo
from auxface.data.video.frames import (
    FrameSettings,
    VideoIndex,
    clip_frames,
    index_video,
    read_frames,
    stream_frames,
    uniform_frames,
)

# With ``first``, this many frames beyond the number of frames to extract are searched for a face.
_MAX_SEARCHED = 1000
_MAX_CLIP_PIXELS = 100_000_000


@dataclass(frozen=True)
class ExtractedFrame:
    """A frame, clip or face of a video.

    Attributes:
        status: status of the frame: ``usable``, ``no_face`` or ``unreadable``.
        reason: reason why the frame is not usable.
        image: image, uint8 [H, W, 3], or [frames * H, W, 3] for a clip; None if there is no image or the video is kept
            unchanged.
        number: index of the frame, or of the first frame of a clip, counted from 0.
        ending: suffix of the file name that distinguishes several faces in one frame.
    """

    status: Literal["usable", "no_face", "unreadable"]
    reason: str = ""
    image: np.ndarray | None = None
    number: int = 0
    ending: str = ""


def extract_frames(
    path: Path, mask: Path | None, settings: FrameSettings | None, cropper: FaceCropper | None
) -> Iterator[ExtractedFrame]:
    """Yield the chosen frames or clips of a video.

    Args:
        path: video file.
        mask: video that is not black where the face was forged, or None.
        settings: settings that determine the frames, or None to only check the video by decoding its first frame.
        cropper: face cropper, or None to keep whole frames.

    Raises:
        UnreadableVideo: the video cannot be opened, or no frame can be decoded.
    """
    index = index_video(path)
    if settings is None:
        if not any(True for _ in islice(stream_frames(path), 1)):
            raise UnreadableVideo("none of its frames can be decoded")
        yield ExtractedFrame("usable")
    elif settings.choice == "clips":
        yield from _clips(path, mask, index, settings, cropper)
    elif settings.choice == "first" and cropper is not None:
        yield from _first_faces(path, mask, settings.count, cropper)
    else:
        count = len(index)
        numbers = uniform_frames(count, settings.count) if settings.choice == "uniform" else range(count)
        yield from _stills(path, mask, index, list(numbers)[: settings.count], cropper)


def _stills(
    path: Path, mask: Path | None, index: VideoIndex, numbers: Sequence[int], cropper: FaceCropper | None
) -> Iterator[ExtractedFrame]:
    masks = _Masks(mask, cropper)
    remaining = set(numbers)
    for number, frame in read_frames(path, index, numbers):
        remaining.discard(number)
        yield from _faces(frame, number, masks, cropper)
    for number in sorted(remaining):
        yield ExtractedFrame("unreadable", f"frame {number} cannot be decoded", number=number)


def _first_faces(path: Path, mask: Path | None, count: int, cropper: FaceCropper) -> Iterator[ExtractedFrame]:
    masks = _Masks(mask, cropper)
    found = 0
    for number, frame in islice(stream_frames(path), count + _MAX_SEARCHED):
        extracted = list(_faces(frame, number, masks, cropper))
        if extracted[0].status == "usable":
            yield from extracted
            found += 1
            if found == count:
                return
    if found == 0:
        yield ExtractedFrame("no_face", f"no face in the first {count + _MAX_SEARCHED} frames")


def _clips(
    path: Path, mask: Path | None, index: VideoIndex, settings: FrameSettings, cropper: FaceCropper | None
) -> Iterator[ExtractedFrame]:
    clips = clip_frames(len(index), settings.count, settings.length, settings.stride)
    if not clips:
        raise UnreadableVideo(f"{len(index)} frames, but a clip needs {(settings.length - 1) * settings.stride + 1}")
    for numbers in clips:
        frames = [frame for _, frame in read_frames(path, index, numbers)]
        first = numbers[0]
        if len(frames) < len(numbers) or len({frame.shape for frame in frames}) > 1:
            yield ExtractedFrame("unreadable", f"the clip from frame {first} cannot be decoded", number=first)
            continue
        if cropper is None:
            clip = frames
        else:
            masks = _Masks(mask, cropper)
            clip = cropper.crop_clip(frames, [masks.at(number) for number in numbers])
        if clip is None:
            yield ExtractedFrame("no_face", f"no face in the clip from frame {first}", number=first)
        elif clip[0].size // 3 * len(clip) > _MAX_CLIP_PIXELS:
            yield ExtractedFrame("unreadable", f"the clip from frame {first} exceeds 100 megapixels", number=first)
        else:
            yield ExtractedFrame("usable", image=np.concatenate(clip), number=first)


def _faces(frame: np.ndarray, number: int, masks: "_Masks", cropper: FaceCropper | None) -> Iterator[ExtractedFrame]:
    if cropper is None:
        yield ExtractedFrame("usable", image=frame, number=number)
        return
    faces = cropper.crop(frame, masks.at(number))
    if not faces:
        yield ExtractedFrame("no_face", f"no face found in frame {number}", number=number)
    for at, (_, image) in enumerate(faces):
        yield ExtractedFrame("usable", image=image, number=number, ending="" if len(faces) == 1 else f"-{at}")


class _Masks:
    """The forgery masks of a video's frames, read one at a time in ascending order."""

    def __init__(self, path: Path | None, cropper: FaceCropper | None) -> None:
        self._path = path if cropper is not None and cropper.settings.which == "mask" else None
        self._index: VideoIndex | None = None

    def at(self, number: int) -> np.ndarray | None:
        """Return the mask of a frame, bool [H, W], or None if there is no mask."""
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
        # After compression, black areas are not exactly 0.
        return None if found is None else found[1].max(2) > 32
