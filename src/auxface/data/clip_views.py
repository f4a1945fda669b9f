"""Clips where pictures are expected: every frame is treated as a picture of its own, with its clip's seed.

Since all that is random depends on the seed alone, the frames of a clip share crop, mirroring, colour, noise and
erasing, so that nothing flickers but what flickered before. (In ``ssat``, equalising and stretching of contrast look at
each frame by itself.)
"""

from collections.abc import Callable

from torch import Tensor

Change = Callable[[Tensor, int], Tensor]
"""(pictures uint8 [B, 3, H, W], number of the first) -> the same shape and type."""


def frames_of(samples: Tensor, seeds: Tensor) -> tuple[Tensor, Tensor]:
    """Pictures [B, 3, S, S] and seeds [B] as they are; of clips [B, T, 3, S, S] all frames and a seed for each."""
    frames = samples.flatten(0, -4)
    return frames, seeds.repeat_interleave(len(frames) // len(seeds))


def as_samples(frames: Tensor, samples: Tensor) -> Tensor:
    """What was made of :func:`frames_of` ``samples``, as pictures or clips again."""
    return frames.unflatten(0, samples.shape[:-3])


def on_frames(change: Change) -> Change:
    """A change of pictures as one of clips (or pictures): frames are numbered through, clip after clip."""

    def changed(samples: Tensor, start: int) -> Tensor:
        frames = samples.flatten(0, -4)
        return as_samples(change(frames, start * (len(frames) // len(samples))), samples)

    return changed


def as_channels(samples: Tensor) -> Tensor:
    """Clips [B, T, 3, H, W] as pictures of 3 T channels, for what treats all channels alike; pictures as they are."""
    return samples.flatten(1, -3)
