"""Predict on a video: track its faces, score them over time, and combine the scores by the rule of the model.

The video is streamed in constant memory. An image model scores frames at a fixed rate. A video model scores evenly
spaced clips; in each clip, the largest face is tracked and scored.

Example::

    prediction = predict_video(predictor, Path("clip.mp4"))
    prediction.tasks["forged"].answer
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from auxface.data.media import printable
from auxface.data.video.decoding import Check, UnreadableVideo, VideoSource, nothing
from auxface.data.video.frames import VideoIndex, clip_frames, index_video, read_frames, recorded_clip
from auxface.inference.answers import Answer, Face, answers_from_scores, calibrated_scores
from auxface.inference.face_tracks import Box, Track, Tracker
from auxface.inference.prediction import NO_FACE, VideoPrediction
from auxface.inference.predictor import Predictor
from auxface.inference.preprocessing import DetectedFaces
from auxface.model.config import ModelConfig

FRAMES_PER_SECOND = 5.0
MAX_FRAMES = 100_000
_CHUNK = 16
_RULES: dict[str, Callable[..., np.ndarray]] = {"mean": np.mean, "median": np.median, "max": np.max}

Advance = Callable[..., None]


@dataclass(frozen=True)
class _Video:
    """A video, its name and index, and the callback that can cancel the work on it."""

    source: VideoSource
    name: str
    index: VideoIndex
    check: Check

    @property
    def path(self) -> Path:
        return Path(self.name if isinstance(self.source, bytes) else self.source)

    def frames(self, numbers: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
        return read_frames(self.source, self.index, numbers, check=self.check)


def predict_video(
    predictor: Predictor,
    source: VideoSource,
    *,
    frames_per_second: float = FRAMES_PER_SECOND,
    max_frames: int = MAX_FRAMES,
    max_decoded: int | None = None,
    advance: Advance | None = None,
    check: Check = nothing,
) -> VideoPrediction:
    """Predict on one video in constant memory.

    Args:
        predictor: predictor of the model to use. A video model scores as many clips as its recipe specifies.
        source: path of the video, or its bytes.
        frames_per_second: number of frames to score per second of video; 0 means every frame. Video models ignore it.
        max_frames: maximum number of frames to score; for a longer video, evenly spaced frames are scored.
        max_decoded: maximum number of frames to decode; a video that requires more is rejected. None means no limit.
        advance: callback that receives the number of frames scored and, once, the keyword argument ``total``.
        check: callback, called before each packet and after each decoded frame; it may raise an exception to cancel the
            work.

    Returns:
        The prediction. If the video cannot be read or shows no face, the prediction has no faces and
            holds the reason.

    Raises:
        InputError: PyAV is not installed.
    """
    name = "video" if isinstance(source, bytes) else printable(source)
    try:
        index = index_video(source, check=check)
    except UnreadableVideo as error:
        return VideoPrediction(name, (), str(error), Path(name))
    video = _Video(source, name, index, check)
    if predictor.config.recipe.encoder.num_frames is not None:
        return _predict_clips(predictor, video, max_decoded, advance)
    times = index.seconds
    selected = _frames_at_rate(times, frames_per_second, max_frames)
    refused = _too_much_work(video, [selected], max_decoded)
    if refused is not None:
        return refused
    if advance is not None:
        advance(0, total=len(selected))
    tracker = Tracker(patience=max(1.0, 2.5 / frames_per_second if frames_per_second else 1.0))
    scored = 0
    largest: dict[str, list[np.ndarray]] = {task.name: [] for task in predictor.config.tasks}
    for numbers, boxes, logits in _score_frames(predictor, video, selected):
        scored += len(numbers)
        for number, found, values in zip(numbers, boxes, logits, strict=True):
            tracker.add(number, float(times[number]), found, values)
            if found:
                chosen = values[max(range(len(found)), key=lambda face: found[face][2] * found[face][3])]
                for name, row in chosen.items():
                    largest[name].append(row)
        if advance is not None:
            advance(len(numbers))
    return _combine(predictor, video, tracker.tracks, largest, scored=scored)


def _too_much_work(video: _Video, parts: list[list[int]], max_decoded: int | None) -> VideoPrediction | None:
    """Return the prediction for a video that requires decoding too many frames; None for other videos."""
    decoded = sum(map(video.index.count_decoded, parts))
    if max_decoded is None or decoded <= max_decoded:
        return None
    reason = f"{decoded} frames must be decoded, but the limit is {max_decoded}; send a shorter part of the video"
    return VideoPrediction(video.name, (), reason, video.path, frames=len(video.index))


def _frames_at_rate(times: np.ndarray, rate: float, limit: int) -> list[int]:
    """Return the indices of frames at a constant rate per second, or of all frames for a rate of 0."""
    numbers = np.arange(len(times))
    if rate > 0 and times[-1] > 0:
        # A frame is selected if a multiple of 1 / rate lies after the time of the previous frame and not after the time
        # of this frame. The memory used depends on the number of frames, not on their timestamps.
        slots = np.floor(times * rate + 1e-6)
        numbers = np.flatnonzero(np.diff(slots, prepend=-1) > 0)
    if len(numbers) > limit:
        numbers = numbers[np.unique(np.linspace(0, len(numbers) - 1, limit).round().astype(int))]
    return numbers.tolist()


def _score_frames(
    predictor: Predictor, video: _Video, selected: list[int]
) -> Iterator[tuple[list[int], list[list[Box]], list[list[dict[str, np.ndarray]]]]]:
    """Yield small batches of frames: their numbers, and the boxes and logits of their faces."""
    stream = video.frames(selected)
    while chunk := list(islice(stream, _CHUNK)):
        crops = [predictor.face_extractor(frame) for _, frame in chunk]
        pixels = [crop.pixels for frame in crops for crop in frame]
        rows: list[dict[str, np.ndarray]] = []
        if pixels:
            images = np.ascontiguousarray(np.stack(pixels).transpose(0, 3, 1, 2))
            logits = predictor.scorer.score_images(images)
            rows = [{name: values[row] for name, values in logits.items()} for row in range(len(pixels))]
        remaining = iter(rows)
        yield (
            [number for number, _ in chunk],
            [[crop.box for crop in frame] for frame in crops],
            [[next(remaining) for _ in frame] for frame in crops],
        )


def _predict_clips(
    predictor: Predictor, video: _Video, max_decoded: int | None, advance: Advance | None
) -> VideoPrediction:
    """Predict on a video with a video model."""
    config, index = predictor.config, video.index
    length, stride = config.recipe.encoder.num_frames or 1, _stride(config)
    clips = clip_frames(len(index), config.recipe.sampled_clips.per_video, length, stride)
    if not clips:
        reason = f"the video has {len(index)} frames; a clip spans {(length - 1) * stride + 1}"
        seconds = float(index.seconds[-1])
        return VideoPrediction(video.name, (), reason, video.path, frames=len(index), seconds=seconds)
    refused = _too_much_work(video, clips, max_decoded)
    if refused is not None:
        return refused
    frames = sum(map(len, clips))
    if advance is not None:
        advance(0, total=frames)
    track = _score_clips(predictor, video, clips, advance)
    tracks = [track] if track.frames else []
    return _combine(predictor, video, tracks, track.logits, scored=frames)


def _stride(config: ModelConfig) -> int:
    """Return the distance between consecutive frames of a clip in the model's training data."""
    return recorded_clip(config.crop).get("stride", config.recipe.sampled_clips.stride)


def _score_clips(predictor: Predictor, video: _Video, clips: list[list[int]], advance: Advance | None) -> Track:
    """Return a track with each clip's logits and the time and box of its middle frame; empty if no face is found."""
    track = Track()
    for numbers in clips:
        frames = [frame for _, frame in video.frames(numbers)]
        # A clip is skipped if a frame is missing or differs in size.
        if len(frames) == len(numbers) and len({frame.shape for frame in frames}) == 1:
            for box, crops in _tracked_face(predictor, frames):
                clip = np.stack(crops).transpose(0, 3, 1, 2)[None]
                logits = predictor.scorer.score_images(np.ascontiguousarray(clip))
                middle = numbers[len(numbers) // 2]
                seconds = float(video.index.seconds[middle])
                track.add(middle, seconds, box, {name: values[0] for name, values in logits.items()})
        if advance is not None:
            advance(len(numbers))
    return track


def _tracked_face(predictor: Predictor, frames: list[np.ndarray]) -> Iterator[tuple[Box, list[np.ndarray]]]:
    """Yield the face's box in the middle frame and its crop in every frame; yield nothing if there is no face."""
    middle = len(frames) // 2
    if isinstance(predictor.face_extractor, DetectedFaces):
        tracked = predictor.face_extractor.cropper.track(frames)
        if tracked is not None:
            left, top, width, height = map(float, tracked[middle][0].box)
            yield (left, top, width, height), [predictor.face_extractor.fit(pixels) for _, pixels in tracked]
        return
    crops = [predictor.face_extractor(frame)[0] for frame in frames]
    yield crops[middle].box, [crop.pixels for crop in crops]


def _combine(
    predictor: Predictor,
    video: _Video,
    tracks: list[Track],
    largest: dict[str, list[np.ndarray]],
    *,
    scored: int,
) -> VideoPrediction:
    """Combine the logits of each track, and of the largest face in each frame, by the model's stored rule."""
    rule, tasks = predictor.config.video_rule, predictor.config.tasks
    measured = {
        "scored_frames": scored,
        "frames": len(video.index),
        "seconds": float(video.index.seconds[-1]),
        "rule": rule,
    }
    if not tracks:
        reason = f"{NO_FACE} in {scored} frames" if scored else "none of its frames can be decoded"
        return VideoPrediction(video.name, (), reason, video.path, **measured)

    def to_scores(logits: dict[str, list[np.ndarray]]) -> dict[str, np.ndarray]:
        return {task.name: calibrated_scores(task, np.stack(logits[task.name])) for task in tasks}

    def to_answers(scores: dict[str, np.ndarray]) -> dict[str, Answer]:
        combined = {name: _RULES[rule](values, axis=0, keepdims=True) for name, values in scores.items()}
        return {task.name: answers_from_scores(task, combined[task.name])[0] for task in tasks}

    scores = tuple(to_scores(track.logits) for track in tracks)
    faces = tuple(
        Face(max(track.boxes, key=lambda box: box[2] * box[3]), to_answers(track_scores))
        for track, track_scores in zip(tracks, scores, strict=True)
    )
    return VideoPrediction(
        video.name,
        faces,
        None,
        video.path,
        tasks=to_answers(to_scores(largest)),
        tracks=tuple(tracks),
        scores=scores,
        names={task.name: task.classes[1:] if task.kind == "binary" else task.classes for task in tasks},
        **measured,
    )
