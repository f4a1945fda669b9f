"""Batches of video clips, decoded once into a memory-mapped array and processed by image functions.

A row of the manifest is a video, from which several clips are sampled, or an image with the frames of one clip stacked
vertically, as written by ``prepare --frame-choice clips``. The cache works as in :mod:`auxface.data.images.cache`, and
an interrupted run resumes at its last saved row.

Example::

    sampling = ClipSampling(frames=8, stride=4, per_video=2, size=112)
    clips = load_clips(read_manifest(Path("videos.parquet")), sampling).array  # uint8 [N, 8, 3, 112, 112]

An image function is applied to a batch of clips frame by frame, and each frame has the seed of its clip. All randomness
depends only on the seed, so all frames of a clip get the same crop, flip, color change, noise and erasing, and
augmentation adds no flicker. (In ``ssat``, histogram equalization and contrast stretching still depend on the frame.)

Example::

    frames, frame_seeds = flatten_frames(batch, seeds)
    views = unflatten_frames(augment(frames, frame_seeds), batch)
"""

import json
import os
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from torch import Tensor

from auxface.atomic import atomic_file
from auxface.data.images.cache import Progress, cache_folder, cache_key, make_once, warn_damaged
from auxface.data.images.decode import DECODE_VERSION, UnreadableImage, fit_square, in_order, read_image
from auxface.data.manifest import Manifest
from auxface.data.media import is_video
from auxface.data.video.decoding import UnreadableVideo
from auxface.data.video.frames import clip_frames, index_video, read_frames, recorded_clip
from auxface.errors import InputError

SAVE_EVERY = 32
_STATE = "done.json"


@dataclass(frozen=True)
class ClipSampling:
    """Settings that determine which frames of a video form a clip.

    Attributes:
        frames: number of frames T in a clip.
        stride: distance between consecutive frames of a clip, in frames of the video.
        per_video: maximum number of clips per video; the clips are evenly spaced.
        size: side S of a frame in pixels.
        crop: side of the central square of a frame that is kept, as a fraction of its shorter side.
    """

    frames: int
    stride: int
    per_video: int
    size: int
    crop: float = 1.0

    def check(self, manifest: Manifest) -> None:
        """Check that clips written by ``prepare`` have as many frames as these settings require.

        Raises:
            InputError: the number of frames differs.
        """
        length = recorded_clip(manifest.crop).get("length", self.frames)
        if length != self.frames:
            raise InputError(
                f"the manifest's clips have {length} frames, but the recipe uses {self.frames}; set "
                f"encoder.num_frames={length}, or prepare them with --clip-length {self.frames}"
            )


@dataclass(frozen=True)
class LoadedClips:
    """The readable clips of a manifest.

    Attributes:
        array: RGB clips, uint8 [N, T, 3, S, S], memory-mapped and read-only.
        rows: index of each clip's manifest row, counted from 0, int64 [N], in ascending order.
        first: number of each clip's first frame in its video, int64 [N]; 0 if the manifest row is a clip.
        rejected: table with the columns path (as in the manifest) and reason, and one row per video or clip that cannot
            be read.
    """

    array: np.ndarray
    rows: np.ndarray
    first: np.ndarray
    rejected: pd.DataFrame


def load_clips(
    manifest: Manifest,
    sampling: ClipSampling,
    *,
    folder: Path | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> LoadedClips:
    """Decode the clips of all rows, or open the array decoded by an earlier call.

    Videos are streamed, and only the frames of clips are kept, at their final size.

    Args:
        manifest: manifest whose rows are read in order.
        sampling: settings that determine the frames of a clip.
        folder: cache folder; see :func:`auxface.data.images.cache.load_images`.
        workers: number of threads; defaults to one per processor core.
        progress: function called with (files done, files in total).

    Raises:
        InputError: the cache cannot be written or has too little space, the manifest's clips have a different number of
            frames, or PyAV is not installed.
    """
    sampling.check(manifest)
    paths = manifest.paths()
    place = (folder or cache_folder()) / "clips" / cache_key(paths, f"{DECODE_VERSION} {sampling}")
    shape = (sampling.frames, 3, sampling.size, sampling.size)
    videos = sum(map(is_video, paths))
    needed = (videos * sampling.per_video + len(paths) - videos) * int(np.prod(shape))
    made = make_once(place, needed, lambda partial: _decode_all(paths, sampling, partial, workers, progress))
    if not made and progress is not None:
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


def _decode_all(
    paths: list[Path], sampling: ClipSampling, folder: Path, workers: int | None, progress: Progress | None
) -> None:
    size = sampling.frames * 3 * sampling.size**2
    done, kept, reasons, checksum = _load_state(folder, size)

    def decode(path: Path) -> list[tuple[int, np.ndarray | None]] | str:
        try:
            return list(read_clips(path, sampling))
        except (UnreadableImage, UnreadableVideo) as error:
            return str(error)

    with (folder / "clips.bin").open("r+b" if done else "wb") as file:
        # Data written by an interrupted run after its last saved state is decoded again.
        file.truncate(len(kept) * size)
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
                    data = clip.tobytes()
                    checksum = zlib.crc32(data, checksum)
                    file.write(data)
            if (row + 1) % SAVE_EVERY == 0:
                file.flush()
                os.fsync(file.fileno())
                with atomic_file(folder / _STATE) as temporary:
                    state = {"rows": row + 1, "kept": kept, "rejected": reasons, "checksum": checksum}
                    temporary.write_text(json.dumps(state))
            if progress is not None:
                progress(row + 1, len(paths))
    pd.DataFrame(kept, columns=["row", "first"]).to_csv(folder / "clips.csv", index=False)
    pd.DataFrame(reasons, columns=["row", "reason"]).to_csv(folder / "rejected.csv", index=False)
    (folder / _STATE).unlink(missing_ok=True)


def _load_state(folder: Path, size: int) -> tuple[int, list[tuple[int, int]], list[tuple[int, str]], int]:
    """Return the number of finished rows, the decoded clips (row, first frame), the rejected rows, and the checksum.

    Args:
        folder: the unfinished folder of the cache.
        size: size of a clip in bytes.
    """
    nothing = 0, [], [], 0
    try:
        saved = json.loads((folder / _STATE).read_text())
        kept = [(int(row), int(first)) for row, first in saved["kept"]]
        state = int(saved["rows"]), kept, [(int(row), str(reason)) for row, reason in saved["rejected"]]
        checksum, left = 0, len(kept) * size
        with (folder / "clips.bin").open("rb") as file:
            while left and (data := file.read(min(left, 2**24))):
                checksum, left = zlib.crc32(data, checksum), left - len(data)
        if left == 0 and checksum == saved["checksum"]:
            return *state, checksum
    except FileNotFoundError:
        return nothing
    except (ValueError, KeyError, TypeError):
        pass
    warn_damaged(folder)
    return nothing


def read_clips(path: Path, sampling: ClipSampling) -> Iterator[tuple[int, np.ndarray | None]]:
    """Yield the clips of one file, each with the number of its first frame.

    Args:
        path: video, or image with the frames of one clip stacked vertically.
        sampling: settings that determine the frames of a clip.

    Yields:
        Number of the first frame, and the clip as uint8 [T, 3, S, S] RGB, or None if it cannot be decoded.

    Raises:
        UnreadableVideo: the file is not a video or is shorter than a clip.
        UnreadableImage: the file is not an image, or its height does not match the number of frames.
    """
    if not is_video(path):
        yield 0, _read_strip(path, sampling)
        return
    index = index_video(path)
    clips = clip_frames(len(index), sampling.per_video, sampling.frames, sampling.stride)
    if not clips:
        span = (sampling.frames - 1) * sampling.stride + 1
        raise UnreadableVideo(f"{len(index)} frames, but a clip needs {span}")
    # Clips of a short video overlap, but each frame is decoded only once.
    numbers = sorted({number for clip in clips for number in clip})
    frames = read_frames(path, index, numbers)
    squares = {number: fit_square(frame, sampling.size, sampling.crop) for number, frame in frames}
    for clip in clips:
        complete = all(number in squares for number in clip)
        yield clip[0], np.stack([squares[number] for number in clip]).transpose(0, 3, 1, 2) if complete else None


def _read_strip(path: Path, sampling: ClipSampling) -> np.ndarray:
    image = read_image(path)
    if image.shape[0] % sampling.frames or image.shape[0] // sampling.frames < image.shape[1] // 2:
        raise UnreadableImage(f"an image; expected a video, or an image of {sampling.frames} frames stacked vertically")
    frames = np.split(image, sampling.frames)
    return np.stack([fit_square(frame, sampling.size, sampling.crop) for frame in frames]).transpose(0, 3, 1, 2)


Corrupt = Callable[[Tensor, int], Tensor]
"""Function of images, uint8 [B, 3, H, W], and the index of the first; returns images of the same shape and dtype."""


def flatten_frames(samples: Tensor, seeds: Tensor) -> tuple[Tensor, Tensor]:
    """Return the frames of a batch and a seed for each frame.

    Args:
        samples: images [B, 3, S, S] or clips [B, T, 3, S, S].
        seeds: seeds of the samples, [B].

    Returns:
        Images and seeds unchanged; for clips, the frames [B * T, 3, S, S] and the seed of each clip, repeated T times.
    """
    frames = samples.flatten(0, -4)
    return frames, seeds.repeat_interleave(len(frames) // len(seeds))


def unflatten_frames(frames: Tensor, samples: Tensor) -> Tensor:
    """Return frames in the batch shape (images or clips) of the ``samples`` from which they were flattened."""
    return frames.unflatten(0, samples.shape[:-3])


def per_frame(corrupt: Corrupt) -> Corrupt:
    """Return a function that applies the image corruption ``corrupt`` to images or to every frame of clips.

    Frames are numbered consecutively, clip after clip.
    """

    def corrupt_samples(samples: Tensor, start: int) -> Tensor:
        frames = samples.flatten(0, -4)
        return unflatten_frames(corrupt(frames, start * (len(frames) // len(samples))), samples)

    return corrupt_samples


def frames_to_channels(samples: Tensor) -> Tensor:
    """Return clips [B, T, 3, H, W] as images with 3 T channels, for functions that treat all channels equally.

    Images are returned unchanged.
    """
    return samples.flatten(1, -3)
