"""Clips decoded once: a memory-mapped uint8 array with a row per clip, kept as images are (see ``cache``).

A row of the manifest is a video, of which several clips are taken, or an image with the frames of one clip below each
other, as ``prepare --frame-choice clips`` writes it. A run that was stopped goes on where it last said that it was.

Clips where images are expected: every frame is treated as an image of its own, with its clip's seed.

Since all that is random depends on the seed alone, the frames of a clip share crop, mirroring, color, noise and
erasing, so that nothing flickers but what flickered before. (In ``ssat``, equalizing and stretching of contrast look at
each frame by itself.)
"""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from torch import Tensor

from auxface.atomic import atomic_file
from auxface.data.images.cache import Progress, default_folder, keep, key_of
from auxface.data.images.decode import DECODE_VERSION, UnreadableImage, fit_square, read_image
from auxface.data.layouts.tree import VIDEO_SUFFIXES
from auxface.data.manifest import Manifest
from auxface.data.parallel import in_order
from auxface.data.video.frames import UnreadableVideo, clip_frames, index_video, read_frames
from auxface.errors import InputError

KEPT_EVERY = 32
_DONE = "done.json"


@dataclass(frozen=True)
class ClipSampling:
    """Which frames make a clip.

    Attributes:
        frames: of a clip, T.
        stride: frames of the video from one to the next.
        per_video: clips of a video at most, spread evenly.
        size: side of a frame in pixels, S.
    """

    frames: int
    stride: int
    per_video: int
    size: int

    def check(self, manifest: Manifest) -> None:
        """Refuse a manifest whose clips were cut with another number of frames.

        Raises:
            InputError: it is one.
        """
        length = recorded_clip(manifest.crop).get("length", self.frames)
        if length != self.frames:
            raise InputError(
                f"the manifest's clips have {length} frames and the recipe's {self.frames}; set "
                f"encoder.num_frames={length}, or prepare them with --clip-length {self.frames}"
            )


@dataclass(frozen=True)
class LoadedClips:
    """The usable clips of a manifest.

    Attributes:
        array: uint8 [N, T, 3, S, S] RGB, memory-mapped and read-only.
        rows: int64 [N], the manifest's row of each, ascending.
        first: int64 [N], number of the first frame in its video; 0 where the row is one clip.
        rejected: columns path (as the manifest has it) and reason, a row per video or clip that is not usable.
    """

    array: np.ndarray
    rows: np.ndarray
    first: np.ndarray
    rejected: pd.DataFrame


def recorded_clip(crop: object) -> dict[str, int]:
    """``length`` and ``stride`` of the clips that ``prepare`` cut; empty where it cut none."""
    clip = crop.get("clip") if isinstance(crop, dict) else None
    return (
        {str(name): value for name, value in clip.items() if isinstance(value, int)} if isinstance(clip, dict) else {}
    )


def load_clips(
    manifest: Manifest,
    sampling: ClipSampling,
    *,
    folder: Path | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> LoadedClips:
    """Decode the clips of every row, or open the array that was made before.

    A video is streamed; of all its frames only those of its clips are kept, at their final size.

    Args:
        manifest: whose rows are read, in order.
        sampling: which frames.
        folder: where arrays are kept; see :func:`auxface.data.images.cache.load_images`.
        workers: threads; default one per core.
        progress: called with (files done, files in all).

    Raises:
        InputError: the folder cannot be written or has too little space, the manifest's clips have another number of
            frames, or PyAV is not installed.
    """
    sampling.check(manifest)
    paths = manifest.paths()
    place = (folder or default_folder()) / "clips" / key_of(paths, f"{DECODE_VERSION} {sampling}")
    shape = (sampling.frames, 3, sampling.size, sampling.size)
    if not place.is_dir():
        videos = sum(_is_video(path) for path in paths)
        needed = (videos * sampling.per_video + len(paths) - videos) * int(np.prod(shape))
        keep(place, needed, lambda beside: _decode_all(paths, sampling, beside, workers, progress))
    elif progress is not None:
        progress(len(paths), len(paths))
    clips = pd.read_csv(place / "clips.csv")
    reasons = pd.read_csv(place / "rejected.csv", dtype={"row": int, "reason": str})
    rejected = pd.DataFrame(
        {"path": manifest.table["path"].iloc[reasons["row"]].to_numpy(), "reason": reasons["reason"].to_numpy()}
    )
    if clips.empty:
        array = np.empty((0, *shape), np.uint8)
    else:
        array = np.memmap(place / "clips.bin", np.uint8, "r", shape=(len(clips), *shape))
    return LoadedClips(array, clips["row"].to_numpy(), clips["first"].to_numpy(), rejected)


def clips_of(path: Path, sampling: ClipSampling) -> Iterator[tuple[int, np.ndarray | None]]:
    """The clips of one file: number of the first frame and uint8 [T, 3, S, S], None where it cannot be decoded.

    Raises:
        UnreadableVideo: not a video, or shorter than a clip.
        UnreadableImage: not an image, or not one of as many frames.
    """
    if not _is_video(path):
        yield 0, _strip(path, sampling)
        return
    index = index_video(path)
    wanted = clip_frames(len(index), sampling.per_video, sampling.frames, sampling.stride)
    if not wanted:
        span = (sampling.frames - 1) * sampling.stride + 1
        raise UnreadableVideo(f"{len(index)} frames are fewer than a clip's {span}")
    # Clips of a short video overlap; each frame is decoded once.
    numbers = sorted({number for clip in wanted for number in clip})
    squares = {number: fit_square(frame, sampling.size) for number, frame in read_frames(path, index, numbers)}
    for clip in wanted:
        whole = all(number in squares for number in clip)
        yield clip[0], np.stack([squares[number] for number in clip]).transpose(0, 3, 1, 2) if whole else None


def _strip(path: Path, sampling: ClipSampling) -> np.ndarray:
    image = read_image(path)
    if image.shape[0] % sampling.frames or image.shape[0] // sampling.frames < image.shape[1] // 2:
        raise UnreadableImage(f"an image, not a video or a clip of {sampling.frames} frames below each other")
    frames = np.split(image, sampling.frames)
    return np.stack([fit_square(frame, sampling.size) for frame in frames]).transpose(0, 3, 1, 2)


def _is_video(path: Path) -> bool:
    return path.name.lower().endswith(VIDEO_SUFFIXES)


def _decode_all(
    paths: list[Path], sampling: ClipSampling, folder: Path, workers: int | None, progress: Progress | None
) -> None:
    done, kept, reasons = _where(folder / _DONE)

    def decode(path: Path) -> list[tuple[int, np.ndarray | None]] | str:
        try:
            return list(clips_of(path, sampling))
        except (UnreadableImage, UnreadableVideo) as error:
            return str(error)

    with (folder / "clips.bin").open("r+b" if done else "wb") as file:
        # What a stopped run wrote after it last wrote down where it was is done again.
        file.truncate(len(kept) * sampling.frames * 3 * sampling.size**2)
        file.seek(0, os.SEEK_END)
        if progress is not None:
            progress(done, len(paths))
        for row, found in enumerate(in_order(decode, paths[done:], workers=workers), done):
            if isinstance(found, str):
                reasons.append((row, found))
                found = []
            for first, clip in found:
                if clip is None:
                    reasons.append((row, f"the clip from frame {first} cannot be decoded"))
                else:
                    kept.append((row, first))
                    file.write(clip.tobytes())
            if (row + 1) % KEPT_EVERY == 0:
                file.flush()
                os.fsync(file.fileno())
                with atomic_file(folder / _DONE) as beside:
                    beside.write_text(json.dumps({"rows": row + 1, "kept": kept, "rejected": reasons}))
            if progress is not None:
                progress(row + 1, len(paths))
    pd.DataFrame(kept, columns=["row", "first"]).to_csv(folder / "clips.csv", index=False)
    pd.DataFrame(reasons, columns=["row", "reason"]).to_csv(folder / "rejected.csv", index=False)
    (folder / _DONE).unlink(missing_ok=True)


def _where(state: Path) -> tuple[int, list[tuple[int, int]], list[tuple[int, str]]]:
    try:
        said = json.loads(state.read_text())
        kept = [(int(row), int(first)) for row, first in said["kept"]]
        return int(said["rows"]), kept, [(int(row), str(reason)) for row, reason in said["rejected"]]
    except (OSError, ValueError, KeyError, TypeError):
        return 0, [], []


Change = Callable[[Tensor, int], Tensor]
"""(images uint8 [B, 3, H, W], number of the first) -> the same shape and type."""


def frames_of(samples: Tensor, seeds: Tensor) -> tuple[Tensor, Tensor]:
    """Images [B, 3, S, S] and seeds [B] as they are; of clips [B, T, 3, S, S] all frames and a seed for each."""
    frames = samples.flatten(0, -4)
    return frames, seeds.repeat_interleave(len(frames) // len(seeds))


def as_samples(frames: Tensor, samples: Tensor) -> Tensor:
    """What was made of :func:`frames_of` ``samples``, as images or clips again."""
    return frames.unflatten(0, samples.shape[:-3])


def on_frames(change: Change) -> Change:
    """A change of images as one of clips (or images): frames are numbered through, clip after clip."""

    def changed(samples: Tensor, start: int) -> Tensor:
        frames = samples.flatten(0, -4)
        return as_samples(change(frames, start * (len(frames) // len(samples))), samples)

    return changed


def as_channels(samples: Tensor) -> Tensor:
    """Clips [B, T, 3, H, W] as images of 3 T channels, for what treats all channels alike; images as they are."""
    return samples.flatten(1, -3)
