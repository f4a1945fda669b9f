"""Decoding of audio files with PyAV to one channel at the sampling rate of the spectrograms.

As for videos, the file is passed to FFmpeg as an open file without a name, and only demuxers that read a single file
are allowed. Size and duration are limited, which bounds the memory used for any file.

Example::

    samples = read_audio(Path("song.mp3"), rate=16000)   # int16 [N]
"""

from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from auxface.data.video.decoding import UnnamedFile, decode
from auxface.errors import InputError

MAX_BYTES = 1 << 30
MAX_SECONDS = 1800
AUDIO_SUFFIXES = (
    ".mp3", ".wav", ".flac", ".ogg", ".oga", ".opus", ".m4a", ".aac", ".wma", ".aif", ".aiff", ".mka", ".weba",
)  # fmt: skip
_DEMUXERS = "mp3,wav,w64,flac,ogg,mov,matroska,webm,aac,aiff,asf"


class UnreadableAudio(Exception):
    """Raised for a file whose audio cannot be decoded; the message is the reason, a short phrase."""


def check_audio_packages() -> None:
    """Check that PyAV and torchaudio are installed.

    Raises:
        InputError: one of them is not installed.
    """
    try:
        import av  # noqa: F401
        import torchaudio  # noqa: F401  # pyright: ignore[reportMissingImports]
    except (ImportError, OSError):
        raise InputError(
            "reading audio requires both PyAV and torchaudio, and one is not installed; pip install 'auxface[audio]'"
        ) from None


def read_audio(path: Path, *, rate: int, max_bytes: int = MAX_BYTES, max_seconds: float = MAX_SECONDS) -> np.ndarray:
    """Return the audio of a file as one channel, int16 [N].

    Packets that cannot be decoded are skipped, as in a media player.

    Args:
        path: audio file, or video file with an audio stream.
        rate: sampling rate of the result in Hz.
        max_bytes: maximum size of the file in bytes; larger files are rejected without being read.
        max_seconds: maximum duration in seconds; longer files are rejected, and at most this duration is decoded.

    Raises:
        UnreadableAudio: the file does not exist, is too large or too long, or has no audio that can be decoded.
    """
    import av
    from av.error import FFmpegError

    _check_file(path, max_bytes)
    parts: list[np.ndarray] = []
    total = 0
    with ExitStack() as opened:
        try:
            file = opened.enter_context(path.open("rb"))
            options = {"format_whitelist": _DEMUXERS, "protocol_whitelist": "none"}
            container: Any = opened.enter_context(av.open(UnnamedFile(file), options=options))
        except PermissionError:
            raise UnreadableAudio("no permission to read it") from None
        except (FFmpegError, OSError, ValueError, UnicodeError):
            raise UnreadableAudio("not an audio file") from None
        stream = next(iter(container.streams.audio), None)
        if stream is None or stream.codec_context is None:
            raise UnreadableAudio("no audio that can be decoded")
        stream.codec_context.thread_count = 1
        resampler = av.AudioResampler(format="s16", layout="mono", rate=rate)
        try:
            for frame in chain(decode(container, stream), [None]):
                if frame is not None:
                    # Timestamps in a corrupt file may decrease, which the resampler rejects.
                    frame.pts = None
                for made in resampler.resample(frame):
                    parts.append(made.to_ndarray()[0])
                    total += len(parts[-1])
                if total > max_seconds * rate:
                    raise UnreadableAudio(f"longer than {max_seconds:g} s; split it")
        except (FFmpegError, ValueError):
            raise UnreadableAudio("its audio format changes") from None
    if not total:
        raise UnreadableAudio("no audio that can be decoded")
    return np.concatenate(parts)


def _check_file(path: Path, max_bytes: int) -> None:
    try:
        # Reading from a pipe or a device could block.
        if not path.is_file():
            raise UnreadableAudio("no such file")
        size = path.stat().st_size
    except (OSError, ValueError) as error:
        raise UnreadableAudio(f"cannot be opened ({getattr(error, 'strerror', None) or 'invalid name'})") from None
    if size == 0:
        raise UnreadableAudio("empty file")
    if size > max_bytes:
        raise UnreadableAudio(f"file of {size / 2**20:.0f} MiB; at most {max_bytes / 2**20:.0f} MiB are read")
