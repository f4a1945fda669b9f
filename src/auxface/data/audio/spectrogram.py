"""Log-mel images of excerpts of a track.

The excerpts are evenly spaced over the track and do not overlap. An image is square, with one row per mel band (the
lowest band at the bottom) and one column per time step. Its values are decibels relative to the loudest point of the
excerpt, so that the volume of a recording has no effect.

Example::

    for excerpt in read_excerpts(Path("song.mp3"), SpectrogramSettings()):
        excerpt.start, excerpt.image   # seconds, uint8 [128, 128]
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from auxface.data.audio.decoding import UnreadableAudio, read_audio
from auxface.errors import InputError

_RANGE = 80.0
_SHORTEST = 0.5
# An excerpt whose peak is at most this fraction of full scale is silence or coding noise.
_SILENT = 1e-4


@dataclass(frozen=True)
class SpectrogramSettings:
    """Settings for converting excerpts of a track to images, stored in the manifest and in models trained on it.

    Attributes:
        excerpts: maximum number of excerpts per track.
        seconds: length of an excerpt in seconds.
        size: side of the images in pixels, equal to the number of mel bands and of time steps.
        rate: sampling rate in Hz; images contain frequencies up to half the sampling rate.
        window: window length of the Fourier transform in samples.
        lowest: lowest frequency in Hz.
    """

    excerpts: int = 4
    seconds: float = 4.0
    size: int = 128
    rate: int = 16_000
    window: int = 2048
    lowest: float = 30.0

    def __post_init__(self) -> None:
        bounds = {
            "excerpts": (1, 1000), "seconds": (0.5, 60), "size": (16, 512), "rate": (4000, 96_000),
            "window": (64, 16_384), "lowest": (0, 1000),
        }  # fmt: skip
        for name, (least, most) in bounds.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
                raise InputError(f"spectrogram: {name} {value!r} must be between {least} and {most}")

    @property
    def hop(self) -> int:
        """Number of samples between consecutive time steps."""
        return max(1, round(self.seconds * self.rate / self.size))

    def to_json(self) -> dict[str, Any]:
        """Return the settings as plain JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, raw: Any) -> "SpectrogramSettings":
        """Return the settings from the JSON of :meth:`to_json`.

        Raises:
            InputError: a key is unknown, or a value is invalid.
        """
        if not isinstance(raw, dict) or not set(raw) <= set(cls.__dataclass_fields__):
            raise InputError(f"spectrogram: expected the keys {', '.join(cls.__dataclass_fields__)}; found {raw!r}")
        return cls(**raw)


@dataclass(frozen=True)
class Excerpt:
    """An excerpt of a track.

    Attributes:
        start: start of the excerpt in the track, in seconds.
        image: log-mel image, uint8 [size, size], or None if the excerpt is silent.
    """

    start: float
    image: np.ndarray | None


def read_excerpts(path: Path, settings: SpectrogramSettings) -> Iterator[Excerpt]:
    """Yield the excerpts of a track; a track shorter than one excerpt is padded with silence.

    Raises:
        UnreadableAudio: the audio cannot be decoded or is shorter than half a second.
    """
    samples = read_audio(path, rate=settings.rate)
    if len(samples) < _SHORTEST * settings.rate:
        raise UnreadableAudio(f"shorter than {_SHORTEST:g} s")
    length = settings.hop * settings.size
    count = max(1, min(settings.excerpts, len(samples) // length))
    free = max(0, len(samples) - count * length)
    for number in range(count):
        # The gaps before, between and after the excerpts are equal.
        start = number * length + round(free * (number + 1) / (count + 1))
        cut = samples[start : start + length].astype(np.float32) / 32768
        loud = float(np.abs(cut).max(initial=0)) > _SILENT
        image = log_mel(np.pad(cut, (0, length - len(cut))), settings) if loud else None
        yield Excerpt(start / settings.rate, image)


def log_mel(samples: np.ndarray, settings: SpectrogramSettings) -> np.ndarray:
    """Return the log-mel image of one excerpt, uint8 [size, size]; 255 is the loudest point, and 0 is 80 dB lower.

    Args:
        samples: audio samples of the excerpt, float32 [hop * size] in -1..1; must not be silent.
        settings: settings that provide size, rate, window and lowest frequency.
    """
    mel = _transform(settings)(torch.from_numpy(samples))[:, : settings.size]
    decibels = 10 * mel.clamp(min=1e-10).log10()
    relative = (decibels - decibels.max() + _RANGE).clamp(min=0) / _RANGE
    return (relative * 255).round().to(torch.uint8).flip(0).numpy()


@lru_cache(maxsize=4)
def _transform(settings: SpectrogramSettings) -> torch.nn.Module:
    import torchaudio  # pyright: ignore[reportMissingImports]

    return torchaudio.transforms.MelSpectrogram(
        settings.rate,
        n_fft=settings.window,
        hop_length=settings.hop,
        n_mels=settings.size,
        f_min=settings.lowest,
        pad_mode="constant",
    )
