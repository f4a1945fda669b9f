"""Track faces through a video: each track joins the boxes and logits of one face.

:class:`Tracker` matches the boxes of each frame with those of the previous frame by overlap. For a clip of consecutive
frames, ``auxface.data.faces.cropper`` tracks a single face instead.

Example::

    tracker = Tracker()
    for frame, seconds, boxes, logits in detections:    # in order
        tracker.add(frame, seconds, boxes, logits)
    tracker.tracks
"""

from dataclasses import dataclass, field

import numpy as np

from auxface.data.faces.alignment import box_iou

Box = tuple[float, float, float, float]
_MIN_OVERLAP = 0.2


@dataclass
class Track:
    """One face in a video. All lists have one entry per frame in which the face was detected.

    Attributes:
        frames: frame numbers in ascending order.
        seconds: times of the frames in seconds from the start of the video.
        boxes: boxes (x, y, width, height) of the face in pixels.
        logits: logits [outputs] of each frame, by task.
    """

    frames: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    boxes: list[Box] = field(default_factory=list)
    logits: dict[str, list[np.ndarray]] = field(default_factory=dict)

    def add(self, frame: int, seconds: float, box: Box, logits: dict[str, np.ndarray]) -> None:
        """Append one detection."""
        self.frames.append(frame)
        self.seconds.append(seconds)
        self.boxes.append(box)
        for name, values in logits.items():
            self.logits.setdefault(name, []).append(values)

    def box_at(self, frame: int, patience: int) -> Box | None:
        """Return the box at any frame, interpolated between the two nearest detections.

        Returns:
            The box; None if the nearest detection is more than ``patience`` frames away.
        """
        after = int(np.searchsorted(self.frames, frame))
        if after < len(self.frames) and self.frames[after] == frame:
            return self.boxes[after]
        if after == 0 or after == len(self.frames):
            nearest = 0 if after == 0 else -1
            return self.boxes[nearest] if abs(self.frames[nearest] - frame) < patience else None
        first, last = self.frames[after - 1], self.frames[after]
        if last - first > 2 * patience:
            return None
        weight = (frame - first) / (last - first)
        pairs = zip(self.boxes[after - 1], self.boxes[after], strict=True)
        x, y, width, height = ((1 - weight) * start + weight * end for start, end in pairs)
        return (x, y, width, height)


class Tracker:
    """A tracker that links the boxes of successive frames into tracks, starting with the pairs that overlap most.

    Args:
        patience: number of seconds without a detection after which a face starts a new track.
    """

    def __init__(self, patience: float = 1.0) -> None:
        self.patience = patience
        self.tracks: list[Track] = []

    def add(self, frame: int, seconds: float, boxes: list[Box], logits: list[dict[str, np.ndarray]]) -> None:
        """Add the faces of one frame; frames must be added in order."""
        candidates = [track for track in self.tracks if seconds - track.seconds[-1] <= self.patience]
        pairs = sorted(
            (
                (box_iou(track.boxes[-1], box), candidate, index)
                for candidate, track in enumerate(candidates)
                for index, box in enumerate(boxes)
            ),
            reverse=True,
        )
        matched: dict[int, Track] = {}
        used: set[int] = set()
        for shared, candidate, index in pairs:
            if shared > _MIN_OVERLAP and candidate not in used and index not in matched:
                matched[index] = candidates[candidate]
                used.add(candidate)
        for index, box in enumerate(boxes):
            track = matched.get(index)
            if track is None:
                track = Track()
                self.tracks.append(track)
            track.add(frame, seconds, box, logits[index])
