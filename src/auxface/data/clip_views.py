"""Clips where pictures are expected: every frame is treated as a picture of its own, with its clip's seed.

Since all that is random depends on the seed alone, the frames of a clip share crop, mirroring, colour, noise and
erasing, so that nothing flickers but what flickered before.
"""

from torch import Tensor


def frames_of(samples: Tensor, seeds: Tensor) -> tuple[Tensor, Tensor]:
    """Pictures [B, 3, S, S] and seeds [B] as they are; of clips [B, T, 3, S, S] all frames and a seed for each."""
    frames = samples.flatten(0, -4)
    return frames, seeds.repeat_interleave(len(frames) // len(seeds))


def as_samples(frames: Tensor, samples: Tensor) -> Tensor:
    """What was made of :func:`frames_of` ``samples``, as pictures or clips again."""
    return frames.unflatten(0, samples.shape[:-3])


def as_channels(samples: Tensor) -> Tensor:
    """Clips [B, T, 3, H, W] as pictures of 3 T channels, for what treats all channels alike; pictures as they are."""
    return samples.flatten(1, -3)
