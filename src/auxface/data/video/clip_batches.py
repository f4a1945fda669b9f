"""Apply functions of images to batches that may hold clips: each frame is an image with its clip's seed.

All randomness depends on the seed alone, so the frames of a clip share crop, flip, color, noise and erasing, and an
augmentation adds no flicker. (In ``ssat``, histogram equalization and contrast stretching still depend on the frame.)

Example::

    frames, frame_seeds = flatten_frames(batch, seeds)
    views = unflatten_frames(augment(frames, frame_seeds), batch)
"""

from collections.abc import Callable

from torch import Tensor

Corrupt = Callable[[Tensor, int], Tensor]
"""(images uint8 [B, 3, H, W], index of the first) -> the same shape and dtype."""


def flatten_frames(samples: Tensor, seeds: Tensor) -> tuple[Tensor, Tensor]:
    """Return the frames of a batch and a seed for each frame.

    Args:
        samples: images [B, 3, S, S] or clips [B, T, 3, S, S].
        seeds: [B].

    Returns:
        images and seeds as they are; of clips the frames [B * T, 3, S, S] and each clip's seed T times.
    """
    frames = samples.flatten(0, -4)
    return frames, seeds.repeat_interleave(len(frames) // len(seeds))


def unflatten_frames(frames: Tensor, samples: Tensor) -> Tensor:
    """Return frames in the batch shape (images or clips) of the ``samples`` that they were flattened from."""
    return frames.unflatten(0, samples.shape[:-3])


def per_frame(corrupt: Corrupt) -> Corrupt:
    """Return a function of images or clips that applies a function of images to every frame.

    Frames are numbered consecutively, clip after clip.
    """

    def corrupt_samples(samples: Tensor, start: int) -> Tensor:
        frames = samples.flatten(0, -4)
        return unflatten_frames(corrupt(frames, start * (len(frames) // len(samples))), samples)

    return corrupt_samples


def frames_to_channels(samples: Tensor) -> Tensor:
    """Return clips [B, T, 3, H, W] as images of 3 T channels, for functions that treat all channels equally.

    Images are returned as they are.
    """
    return samples.flatten(1, -3)
