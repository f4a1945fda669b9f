"""Faces through a video as it streams: who is the same from one looked-at frame to the next."""

from dataclasses import dataclass, field

import numpy as np

from auxface.data.faces.alignment import box_iou

Box = tuple[float, float, float, float]
_LINK = 0.2


@dataclass
class Track:
    """One face through a video; everything in it is as long as the frames it was seen in.

    Attributes:
        frames: numbers of the frames.
        seconds: their times.
        boxes: (x, y, width, height) in pixels.
        logits: per task, [outputs] for each frame.
    """

    frames: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    boxes: list[Box] = field(default_factory=list)
    logits: dict[str, list[np.ndarray]] = field(default_factory=dict)

    def add(self, frame: int, seconds: float, box: Box, logits: dict[str, np.ndarray]) -> None:
        """One more sight of this face."""
        self.frames.append(frame)
        self.seconds.append(seconds)
        self.boxes.append(box)
        for name, values in logits.items():
            self.logits.setdefault(name, []).append(values)

    def box_at(self, frame: int, patience: int) -> Box | None:
        """The box at any frame, between the nearest two sights; None further than ``patience`` frames from them."""
        after = int(np.searchsorted(self.frames, frame))
        if after < len(self.frames) and self.frames[after] == frame:
            return self.boxes[after]
        if after == 0 or after == len(self.frames):
            nearest = 0 if after == 0 else -1
            return self.boxes[nearest] if abs(self.frames[nearest] - frame) < patience else None
        first, last = self.frames[after - 1], self.frames[after]
        if last - first > 2 * patience:
            return None
        share = (frame - first) / (last - first)
        pairs = zip(self.boxes[after - 1], self.boxes[after], strict=True)
        x, y, width, height = ((1 - share) * before + share * behind for before, behind in pairs)
        return (x, y, width, height)


class Tracker:
    """Joins boxes to tracks by overlap, the best pairs first.

    Args:
        patience: seconds after which a face that was not seen is another face.
    """

    def __init__(self, patience: float = 1.0) -> None:
        self.patience = patience
        self.tracks: list[Track] = []

    def add(self, frame: int, seconds: float, boxes: list[Box], logits: list[dict[str, np.ndarray]]) -> None:
        """Take the faces of one frame; frames come in order."""
        open_tracks = [track for track in self.tracks if seconds - track.seconds[-1] <= self.patience]
        pairs = sorted(
            (
                (box_iou(track.boxes[-1], box), at, place)
                for at, track in enumerate(open_tracks)
                for place, box in enumerate(boxes)
            ),
            reverse=True,
        )
        taken: dict[int, Track] = {}
        used: set[int] = set()
        for shared, at, place in pairs:
            if shared > _LINK and at not in used and place not in taken:
                taken[place] = open_tracks[at]
                used.add(at)
        for place, box in enumerate(boxes):
            track = taken.get(place)
            if track is None:
                track = Track()
                self.tracks.append(track)
            track.add(frame, seconds, box, logits[place])
