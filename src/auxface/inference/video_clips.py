"""A video for a model of clips: clips spread evenly over it, the largest face of each followed through it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from auxface.data.clips import recorded_clip
from auxface.data.decode import fit_square
from auxface.data.video import VideoIndex, clip_frames, read_frames
from auxface.inference.faces import Box, FaceFraming
from auxface.inference.predictor import Predictor
from auxface.inference.tracks import Track
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
                logits = predictor.scorer.score_pictures(np.ascontiguousarray(clip))
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
        followed = predictor.framing.cutter.follow(frames)
        if followed is not None:
            left, top, width, height = map(float, followed[middle][0].box)
            yield (left, top, width, height), [fit_square(picture, predictor.size) for _, picture in followed]
        return
    shown = [predictor.framing(frame)[0] for frame in frames]
    yield shown[middle].box, [one.square for one in shown]


def _stride(config: ModelConfig) -> int:
    return recorded_clip(config.crop).get("stride", config.recipe.sampled_clips.stride)
