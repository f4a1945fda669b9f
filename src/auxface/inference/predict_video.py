"""A video: frames streamed, faces followed, scores over time, one verdict by the model's stored rule.

A video for a model of clips: clips spread evenly over it, the largest face of each followed through it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from auxface.data.images.decode import fit_square
from auxface.data.video.clips import recorded_clip
from auxface.data.video.frames import UnreadableVideo, VideoIndex, clip_frames, index_video, read_frames
from auxface.inference.evaluated_models import calibrated
from auxface.inference.face_tracks import Track, Tracker
from auxface.inference.prediction import NO_FACE, Answer, Face, Prediction, answers_from_scores
from auxface.inference.predictor import Predictor
from auxface.inference.preprocessing import Box, FaceFraming
from auxface.model.config import ModelConfig


def planned_clips(config: ModelConfig, frames: int) -> list[list[int]]:
    """Frame numbers of the clips that a model looks at; empty where the video is shorter than one.

    The distance between frames is that of the clips it learned from.
    """
    recipe = config.recipe
    length = recipe.encoder.num_frames or 1
    return clip_frames(frames, recipe.sampled_clips.per_video, length, _stride(config))


def span_of(config: ModelConfig) -> int:
    """Frames of a video from a clip's first to its last."""
    return ((config.recipe.encoder.num_frames or 1) - 1) * _stride(config) + 1


def track_in_clips(
    predictor: Predictor, path: Path, index: VideoIndex, wanted: list[list[int]], advance: Callable[..., None] | None
) -> Track:
    """The scores of each clip, at the time and place of its middle frame; empty where no clip shows a face.

    Args:
        predictor: a model of clips.
        path: of the video.
        index: of the video.
        wanted: of :func:`planned_clips`.
        advance: told how many frames were looked at.
    """
    track = Track()
    for numbers in wanted:
        frames = [frame for _, frame in read_frames(path, index, numbers)]
        # A clip of which a frame is missing, or changes its size, is no clip.
        if len(frames) == len(numbers) and len({frame.shape for frame in frames}) == 1:
            for box, squares in _followed(predictor, frames):
                clip = np.stack(squares).transpose(0, 3, 1, 2)[None]
                logits = predictor.scorer.score_images(np.ascontiguousarray(clip))
                middle = numbers[len(numbers) // 2]
                seconds = float(index.times[middle] - index.times[0]) * index.unit
                track.add(middle, seconds, box, {name: values[0] for name, values in logits.items()})
        if advance is not None:
            advance(len(numbers))
    return track


def _followed(predictor: Predictor, frames: list[np.ndarray]) -> Iterator[tuple[Box, list[np.ndarray]]]:
    """The face's place in the middle frame and its squares; nothing where there is none."""
    middle = len(frames) // 2
    if isinstance(predictor.framing, FaceFraming):
        followed = predictor.framing.cropper.track(frames)
        if followed is not None:
            left, top, width, height = map(float, followed[middle][0].box)
            yield (left, top, width, height), [fit_square(image, predictor.size) for _, image in followed]
        return
    shown = [predictor.framing(frame)[0] for frame in frames]
    yield shown[middle].box, [one.square for one in shown]


def _stride(config: ModelConfig) -> int:
    return recorded_clip(config.crop).get("stride", config.recipe.sampled_clips.stride)


LOOKS_PER_SECOND = 5.0
MAX_LOOKS = 100_000
_TOGETHER = 16
_RULES: dict[str, Callable[..., np.ndarray]] = {"mean": np.mean, "median": np.median, "max": np.max}


@dataclass(frozen=True)
class VideoPrediction(Prediction):
    """What was found in one video; ``faces`` holds one face per track, its box the largest, its answers the track's.

    Attributes:
        tasks: the verdict on the video: per task, the stored rule over its frames, in each the largest face.
        rule: the rule: ``mean``, ``median`` or ``max``.
        tracks: one per face, in the order of ``faces``.
        scores: per track and task, calibrated probabilities [frames, outputs].
        names: per task, what the columns of the scores are.
        looked_at: how many frames were looked at, of ``frames``.
        frames: in the video.
        seconds: its length.
    """

    tasks: dict[str, Answer] = field(default_factory=dict)
    rule: str = "mean"
    tracks: tuple[Track, ...] = ()
    scores: tuple[dict[str, np.ndarray], ...] = field(default=(), repr=False, compare=False)
    names: dict[str, tuple[str, ...]] = field(default_factory=dict)
    looked_at: int = 0
    frames: int = 0
    seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """As an image's, and under ``video`` the verdict and every score over time."""
        tracks = [
            {
                "frames": track.frames,
                "seconds": [round(time, 3) for time in track.seconds],
                "boxes": [[round(value, 1) for value in box] for box in track.boxes],
                "scores": {
                    task: {
                        name: [round(value, 5) for value in scores[task][:, place].tolist()]
                        for place, name in enumerate(self.names[task])
                    }
                    for task in scores
                },
            }
            for track, scores in zip(self.tracks, self.scores, strict=True)
        ]
        video = {
            "frames": self.frames,
            "looked_at": self.looked_at,
            "seconds": round(self.seconds, 3),
            "rule": self.rule,
            "tasks": {name: answer.to_dict() for name, answer in self.tasks.items()},
            "tracks": tracks,
        }
        return super().to_dict() | {"video": video}

    def over_time(self) -> pd.DataFrame:
        """A row per face and frame: face, frame, seconds, box, and ``score.<task>.<class>``."""
        parts = []
        for number, (track, scores) in enumerate(zip(self.tracks, self.scores, strict=True)):
            columns: dict[str, Any] = {"face": number, "frame": track.frames, "seconds": track.seconds}
            columns |= dict(zip(("x", "y", "width", "height"), np.array(track.boxes).T, strict=True))
            for task, names in self.names.items():
                columns |= {f"score.{task}.{name}": scores[task][:, place] for place, name in enumerate(names)}
            parts.append(pd.DataFrame(columns))
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["face", "frame", "seconds"])

    def plot(self) -> Any:
        """Scores over time, as a matplotlib figure."""
        from auxface.inference.timeline import timeline_figure

        return timeline_figure(self)


def predict_video(
    predictor: Predictor,
    path: Path,
    *,
    looks_per_second: float = LOOKS_PER_SECOND,
    max_looks: int = MAX_LOOKS,
    advance: Callable[..., None] | None = None,
) -> VideoPrediction:
    """Look at a video in constant memory: a few frames at a time, of which only boxes and scores are kept.

    Args:
        predictor: the model; one of clips looks at as many as its recipe says, spread over the video.
        path: of the video.
        looks_per_second: how many frames of each second are looked at; 0: every frame. Not read by models of clips.
        max_looks: with more, the same number is spread over the whole video.
        advance: told how many frames were looked at, and once the total.

    Returns:
        A prediction without faces, and the reason, where the video cannot be read or shows none.

    Raises:
        InputError: PyAV is not installed.
    """
    try:
        index = index_video(path)
    except UnreadableVideo as error:
        return VideoPrediction(str(path), (), str(error), path)
    times = (index.times - index.times[0]) * index.unit
    if predictor.config.recipe.encoder.num_frames is not None:
        return _predict_clips(predictor, path, index, float(times[-1]), advance)
    wanted = _wanted(times, looks_per_second, max_looks)
    if advance is not None:
        advance(0, total=len(wanted))
    tracker = Tracker(patience=max(1.0, 2.5 / looks_per_second if looks_per_second else 1.0))
    looked_at = 0
    largest: dict[str, list[np.ndarray]] = {task.name: [] for task in predictor.config.tasks}
    for numbers, boxes, logits in _looked(predictor, path, index, wanted):
        looked_at += len(numbers)
        for number, found, values in zip(numbers, boxes, logits, strict=True):
            tracker.add(number, float(times[number]), found, values)
            if found:
                chosen = values[max(range(len(found)), key=lambda at: found[at][2] * found[at][3])]
                for name, row in chosen.items():
                    largest[name].append(row)
        if advance is not None:
            advance(len(numbers))
    return _conclude(predictor, path, tracker, largest, looked_at, index, float(times[-1]))


def _predict_clips(
    predictor: Predictor, path: Path, index: VideoIndex, seconds: float, advance: Callable[..., None] | None
) -> VideoPrediction:
    wanted = planned_clips(predictor.config, len(index))
    if not wanted:
        reason = f"{len(index)} frames are fewer than a clip's {span_of(predictor.config)}"
        return VideoPrediction(str(path), (), reason, path, frames=len(index), seconds=seconds)
    if advance is not None:
        advance(0, total=sum(map(len, wanted)))
    tracker = Tracker()
    track = track_in_clips(predictor, path, index, wanted, advance)
    if track.frames:
        tracker.tracks.append(track)
    return _conclude(predictor, path, tracker, track.logits, sum(map(len, wanted)), index, seconds)


def _wanted(times: np.ndarray, looks_per_second: float, most: int) -> list[int]:
    """Frame numbers at a steady rate."""
    count = len(times)
    if looks_per_second > 0 and times[-1] > 0:
        moments = np.arange(0, times[-1] + 1e-9, 1 / looks_per_second)
        numbers = np.unique(np.searchsorted(times, moments[: 10 * most]).clip(max=count - 1))
    else:
        numbers = np.arange(count)
    if len(numbers) > most:
        numbers = numbers[np.unique(np.linspace(0, len(numbers) - 1, most).round().astype(int))]
    return numbers.tolist()


def _looked(
    predictor: Predictor, path: Path, index: VideoIndex, wanted: list[int]
) -> Iterator[tuple[list[int], list[list[Box]], list[list[dict[str, np.ndarray]]]]]:
    """A few frames at a time: their numbers, boxes, and logits of each face."""
    stream = read_frames(path, index, wanted)
    while together := list(islice(stream, _TOGETHER)):
        numbers = [number for number, _ in together]
        shown = [predictor.framing(frame) for _, frame in together]
        squares = [face.square for faces in shown for face in faces]
        rows: list[dict[str, np.ndarray]] = []
        if squares:
            images = np.ascontiguousarray(np.stack(squares).transpose(0, 3, 1, 2))
            logits = predictor.scorer.score_images(images)
            rows = [{name: values[at] for name, values in logits.items()} for at in range(len(squares))]
        taken = iter(rows)
        yield numbers, [[face.box for face in faces] for faces in shown], [[next(taken) for _ in f] for f in shown]


def _conclude(
    predictor: Predictor,
    path: Path,
    tracker: Tracker,
    largest: dict[str, list[np.ndarray]],
    looked_at: int,
    index: VideoIndex,
    seconds: float,
) -> VideoPrediction:
    rule = predictor.config.video_rule
    measured = {"looked_at": looked_at, "frames": len(index), "seconds": seconds, "rule": rule}
    if not tracker.tracks:
        reason = f"{NO_FACE} in {looked_at} frames" if looked_at else "not one frame can be decoded"
        return VideoPrediction(str(path), (), reason, path, **measured)
    tasks = predictor.config.tasks

    def scored(rows: dict[str, list[np.ndarray]]) -> dict[str, np.ndarray]:
        return {task.name: calibrated(task, np.stack(rows[task.name])) for task in tasks}

    def concluded(scores: dict[str, np.ndarray]) -> dict[str, Answer]:
        joined = {name: _RULES[rule](values, axis=0, keepdims=True) for name, values in scores.items()}
        return {task.name: answers_from_scores(task, joined[task.name])[0] for task in tasks}

    scores = tuple(scored(track.logits) for track in tracker.tracks)
    faces = tuple(
        Face(max(track.boxes, key=lambda box: box[2] * box[3]), concluded(each))
        for track, each in zip(tracker.tracks, scores, strict=True)
    )
    return VideoPrediction(
        str(path),
        faces,
        None,
        path,
        tasks=concluded(scored(largest)),
        tracks=tuple(tracker.tracks),
        scores=scores,
        names={task.name: task.classes[1:] if task.kind == "binary" else task.classes for task in tasks},
        **measured,
    )
