"""Synthetic music, generated from a seed so that instrument, tempo, mode and drums are known.

A track is a melody of one lead instrument over chords, with drums in some tracks. An instrument is modeled by additive
synthesis, with the frequencies and levels of its partials and an envelope. Guitar and violin have the same partials, as
do flute and vibraphone, so that only the envelope distinguishes them. Like recordings, tracks differ in key, tempo,
melody, equalization and noise, so the mean spectrum carries little information about the instrument.

Example:
    >>> track = describe_track(7, seed=0)
    >>> track.instrument, render_track(track, seconds=0.5).shape
    ('violin', (8000,))
"""

import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np

RATE = 16_000


@dataclass(frozen=True)
class Instrument:
    """An instrument, described by its partials and its envelope.

    Attributes:
        ratios: frequency of each partial relative to that of the note.
        levels: amplitude of each partial.
        attack: time in seconds until a note reaches its full level.
        decay: time in seconds until a held note falls to 1/e of its level, or None if it keeps its level.
        vibrato: depth of the vibrato as a fraction of the frequency.
    """

    ratios: tuple[float, ...]
    levels: tuple[float, ...]
    attack: float
    decay: float | None
    vibrato: float = 0.0


_HARMONICS = tuple(float(number) for number in range(1, 11))
_SAWTOOTH = tuple(1 / number for number in range(1, 11))
_ODD = (1.0, 3.0, 5.0, 7.0, 9.0)
_SOFT = (1.0, 0.25, 0.1, 0.04)
INSTRUMENTS: dict[str, Instrument] = {
    "bell": Instrument((1.0, 2.0, 2.76, 4.07, 5.4), (1.0, 0.6, 0.5, 0.4, 0.25), 0.003, 1.2),
    "clarinet": Instrument(_ODD, (1.0, 0.6, 0.4, 0.2, 0.1), 0.04, None),
    "flute": Instrument(_HARMONICS[:4], _SOFT, 0.08, None, 0.006),
    "guitar": Instrument(_HARMONICS, _SAWTOOTH, 0.004, 0.35),
    "vibraphone": Instrument(_HARMONICS[:4], _SOFT, 0.004, 0.6),
    "violin": Instrument(_HARMONICS, _SAWTOOTH, 0.1, None, 0.01),
}
TAGS: tuple[str, ...] = (*INSTRUMENTS, "drums", "fast", "minor")
_CHORDS = Instrument(_HARMONICS[:3], (1.0, 0.4, 0.2), 0.05, None)
_MAJOR, _MINOR = (0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10)
# Chord progressions over four bars, as scale degrees (I V vi IV and similar).
_PROGRESSIONS = ((0, 4, 5, 3), (0, 3, 4, 0), (0, 5, 3, 4), (0, 3, 0, 4))
_FAST = 120


@dataclass(frozen=True)
class Track:
    """The description of a track.

    Attributes:
        number: index of the track, which together with the seed determines the melody and the recording.
        seed: seed of the collection.
        instrument: name of the lead instrument in :data:`INSTRUMENTS`.
        tempo: tempo in beats per minute.
        minor: whether the scale is minor.
        drums: whether the track has drums.
        key: MIDI number of the tonic.
    """

    number: int
    seed: int
    instrument: str
    tempo: float
    minor: bool
    drums: bool
    key: int

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags of the track, from :data:`TAGS`."""
        others = {"drums": self.drums, "fast": self.tempo > _FAST, "minor": self.minor}
        return (self.instrument, *(name for name, present in others.items() if present))


def describe_track(number: int, *, seed: int = 0) -> Track:
    """Return the description of one track of a collection, independently of the number of tracks."""
    rng = np.random.default_rng([seed, number, 0])
    # Each group of six consecutive tracks contains every instrument once, in random order.
    names = list(INSTRUMENTS)
    order = np.random.default_rng([seed, number // len(names), 1]).permutation(len(names))
    tempo = float(rng.uniform(70, _FAST - 15) if rng.random() < 0.5 else rng.uniform(_FAST + 15, 180))
    return Track(
        number=number,
        seed=seed,
        instrument=names[order[number % len(names)]],
        tempo=tempo,
        minor=bool(rng.random() < 0.5),
        drums=bool(rng.random() < 0.4),
        key=int(rng.integers(55, 67)),
    )


def render_track(track: Track, *, seconds: float) -> np.ndarray:
    """Return the audio samples of a track, float32 [seconds * 16000] in -1..1.

    Args:
        track: description of the track.
        seconds: length of the track in seconds.
    """
    rng = np.random.default_rng([track.seed, track.number, 2])
    total, beat = round(seconds * RATE), 60 / track.tempo
    scale = _MINOR if track.minor else _MAJOR
    sound = np.zeros(total)

    def pitch(degree: int) -> float:
        return track.key + 12 * (degree // 7) + scale[degree % 7]

    progression = _PROGRESSIONS[rng.integers(len(_PROGRESSIONS))]
    level = rng.uniform(0.08, 0.2)
    for bar in range(int(seconds / (4 * beat)) + 1):
        root = progression[bar % 4]
        for degree in (root, root + 2, root + 4):
            _add(sound, _note(_CHORDS, pitch(degree) - 12, 4 * beat, rng), 4 * beat * bar, level)
    lead, degree, at = INSTRUMENTS[track.instrument], int(rng.integers(0, 8)), 0.0
    while at < seconds:
        length = float(rng.choice([0.5, 1, 1, 2])) * beat
        if rng.random() > 0.1:
            _add(sound, _note(lead, pitch(degree), length, rng), at, rng.uniform(0.3, 0.5))
        degree = int(np.clip(degree + rng.integers(-3, 4), -3, 12))
        at += length
    if track.drums:
        for number in range(int(seconds / (beat / 2)) + 1):
            _add(sound, _drum(number % 4 == 0, rng), number * beat / 2, rng.uniform(0.2, 0.4))
    return _recorded(sound, rng)


def _note(instrument: Instrument, midi: float, length: float, rng: np.random.Generator) -> np.ndarray:
    """Return one note, float [N], with a short release."""
    release = 0.05
    held = length if instrument.decay is None else length + instrument.decay
    time = np.arange(round((held + release) * RATE)) / RATE
    frequency = 440 * 2 ** ((midi - 69) / 12) * (1 + 0.002 * rng.normal())
    rate = rng.uniform(4.5, 6.5)
    # The phase is the integral of the frequency, which the vibrato changes.
    phase = time - instrument.vibrato * np.cos(2 * np.pi * rate * time) / (2 * np.pi * rate)
    sound = np.zeros_like(time)
    for ratio, level in zip(instrument.ratios, instrument.levels, strict=True):
        if ratio * frequency < RATE / 2:
            sound += level * np.sin(2 * np.pi * (ratio * frequency * phase + rng.random()))
    envelope = np.minimum(time / instrument.attack, 1) * np.clip((held + release - time) / release, 0, 1)
    if instrument.decay is not None:
        envelope *= np.exp(-time / instrument.decay)
    return sound * envelope / sum(instrument.levels)


def _drum(low: bool, rng: np.random.Generator) -> np.ndarray:
    """Return a stroke of a bass drum if ``low`` is set, and of a hi-hat otherwise."""
    time = np.arange(round(0.2 * RATE)) / RATE
    if low:
        return np.sin(2 * np.pi * (60 * time + 4 * (1 - np.exp(-time / 0.03)))) * np.exp(-time / 0.08)
    return 0.5 * np.diff(rng.normal(size=len(time) + 1)) * np.exp(-time / 0.03)


def _add(sound: np.ndarray, part: np.ndarray, at: float, level: float) -> None:
    start = round(at * RATE)
    count = max(0, min(len(part), len(sound) - start))
    sound[start : start + count] += level * part[:count]


def _recorded(sound: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Apply the equalization, noise and volume of a recording."""
    spectrum = np.fft.rfft(sound)
    octaves = np.log2(np.maximum(np.fft.rfftfreq(len(sound), 1 / RATE), 30) / 1000)
    gain = rng.uniform(-6, 6) * octaves + rng.uniform(-8, 8) * np.cos(octaves * rng.uniform(1, 3) + rng.uniform(0, 6))
    filtered = np.fft.irfft(spectrum * 10 ** (np.clip(gain, -30, 30) / 20), len(sound))
    filtered /= max(float(np.abs(filtered).max()), 1e-9)
    noisy = filtered + 10 ** rng.uniform(-3.5, -2) * rng.normal(size=len(sound))
    return (rng.uniform(0.3, 0.9) * noisy / np.abs(noisy).max()).astype(np.float32)


def write_wav(path: Path, sound: np.ndarray) -> None:
    """Write audio samples in -1..1 as a 16-bit WAV file."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((sound * 32767).round().astype("<i2").tobytes())
