"""Processing of data set files, each opened once: readability checks, face cropping and frame extraction.

Example::

    processor = FileProcessor(cropper=FaceCropper(FaceSettings()), crops=Path("crops"))
    with Journal(Path(".journal"), settings) as journal:
        results = list(processor.process_all(files, journal))
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from PIL import Image

from auxface.data.audio.decoding import UnreadableAudio
from auxface.data.audio.spectrogram import SpectrogramSettings, read_excerpts
from auxface.data.faces import FaceCropper
from auxface.data.images.decode import MAX_BYTES, UnreadableImage, count_unread_frames, in_order, read_bytes, read_image
from auxface.data.leaks import encode_thumbnail, thumbnail
from auxface.data.manifest import SPLITS
from auxface.data.media import is_video
from auxface.data.prepare.frame_extraction import extract_frames
from auxface.data.prepare.journal import Journal, file_state
from auxface.data.video.decoding import UnreadableVideo
from auxface.data.video.frames import FrameSettings
from auxface.evaluation.predictions import text_of
from auxface.output_folder import begin_growing, record_files, refuse_foreign_names

# Matches crops of an image (NAME.png, NAME-0.png and so on) and frames of a video (NAME/000000.png). A name ends with a
# hash of the row's key.
_CROP = re.compile(r"(?P<name>.+-[0-9a-f]{10})(-[0-9]+|/[0-9]{6}[^/]*)?\.png")
_HASH = "[0-9a-f]" * 10
_CROP_PATTERNS = tuple(f"*/*/*-{_HASH}{ending}.png" for ending in ("", "-[0-9]*", "/[0-9]*"))

Status = Literal["usable", "no_face", "unreadable", "duplicate", "conflicting_labels"]
STATUSES: tuple[Status, ...] = ("usable", "no_face", "unreadable", "duplicate", "conflicting_labels")


@dataclass(frozen=True)
class InputFile:
    """An image or video to open.

    Attributes:
        path: absolute path of the file.
        mask: image or video that is not black where a face was forged; empty if there is none.
        name: unique name of the file's crops, without suffix and relative to the folder for crops.
    """

    path: str
    mask: str
    name: str


@dataclass(frozen=True)
class SampleResult:
    """The result for an image, or for a frame, clip or face of a file.

    Attributes:
        status: status of the sample, one of :data:`STATUSES`.
        reason: reason why the sample is not usable; empty if it is usable.
        path: path of the image to use; empty if the sample is not usable.
        frame: number of the frame in its video, or start of the excerpt in its track in ms; 0 for still images.
        thumbnail: thumbnail encoded by :func:`auxface.data.leaks.encode_thumbnail`; empty for audio and if there is no
            image.
    """

    status: Status
    reason: str = ""
    path: str = ""
    frame: int = 0
    thumbnail: str = ""


@dataclass(frozen=True)
class FileResult:
    """The results for one file.

    Attributes:
        samples: results of the samples in the file, at least one.
        digest: SHA-256 of an image or audio file; empty for videos and files that cannot be read.
        unread_frames: number of frames after the first in an animated image, which are not used.
    """

    samples: tuple[SampleResult, ...]
    digest: str = ""
    unread_frames: int = 0


@dataclass(frozen=True)
class FileProcessor:
    """Opens files and writes the crops and frames made from them.

    Attributes:
        boundary: folder that must contain every file after links are resolved, or None if files may be anywhere.
        cropper: face cropper, or None to keep whole images.
        frames: settings that determine which frames of a video are extracted, or None to leave videos unchanged.
        crops: folder to which images are written; required with a cropper, frames or a spectrogram.
        spectrogram: settings for converting excerpts of audio files to images, or None for images and videos.
    """

    boundary: Path | None = None
    cropper: FaceCropper | None = None
    frames: FrameSettings | None = None
    crops: Path | None = None
    spectrogram: SpectrogramSettings | None = None

    def process_all(self, files: Iterable[InputFile], journal: Journal) -> Iterator[FileResult]:
        """Yield the results of all files in order, using all cores; files in the journal are not opened again.

        Raises:
            InputError: a crop would replace a file that auxface did not write, or that was changed after auxface wrote
                it.
        """
        files = list(files)
        known = [_recall(file, journal) for file in files]
        writes = (self.cropper, self.frames, self.spectrogram) != (None, None, None)
        crops = self.crops if writes else None
        if crops is not None:
            _begin_crops(crops, {file.name for file, result in zip(files, known, strict=True) if result is None})

        def work(number: int) -> tuple[FileResult, str | None]:
            result = known[number]
            if result is not None:
                return result, None
            state = file_state(files[number].path)
            return self.process(files[number]), state

        written: list[str] = []
        for file, (result, state) in zip(files, in_order(work, range(len(files))), strict=True):
            if state is not None:
                journal.add(file.path, state, asdict(result))
            if crops is not None:
                start = str(crops / file.name)
                written += [sample.path for sample in result.samples if sample.path.startswith(start)]
            yield result
        if crops is not None:
            record_files(crops, [Path(path).relative_to(crops).as_posix() for path in written])

    def process(self, file: InputFile) -> FileResult:
        """Open one file and write its crops or frames."""
        try:
            _check_inside(file.path, self.boundary)
            if file.mask:
                _check_inside(file.mask, self.boundary)
            if self.spectrogram is not None:
                return self._process_audio(file, self.spectrogram)
            if is_video(file.path):
                return FileResult(tuple(self._process_video(file)))
            return self._process_image(file)
        except (UnreadableImage, UnreadableVideo, UnreadableAudio) as error:
            return FileResult((SampleResult("unreadable", str(error)),))

    def _process_audio(self, file: InputFile, settings: SpectrogramSettings) -> FileResult:
        assert self.crops is not None
        samples = []
        for excerpt in read_excerpts(Path(file.path), settings):
            start = round(1000 * excerpt.start)
            if excerpt.image is None:
                samples.append(SampleResult("unreadable", f"silent at {excerpt.start:.1f} s", frame=start))
            else:
                path = _save(excerpt.image, self.crops / file.name / f"{start:06d}.png")
                samples.append(SampleResult("usable", path=path, frame=start))
        with open(file.path, "rb") as data:
            return FileResult(tuple(samples), hashlib.file_digest(data, "sha256").hexdigest())

    def _process_image(self, file: InputFile) -> FileResult:
        data = read_bytes(Path(file.path), MAX_BYTES)
        image = read_image(data)
        digest, unread = hashlib.sha256(data).hexdigest(), count_unread_frames(data)
        if self.cropper is None or self.crops is None:
            sample = SampleResult("usable", path=file.path, thumbnail=encode_thumbnail(thumbnail(image)))
            return FileResult((sample,), digest, unread)
        mask = None
        if file.mask and self.cropper.settings.which == "mask":
            mask = read_image(Path(file.mask)).max(2) > 0
        faces = [crop for _, crop in self.cropper.crop(image, mask)]
        if not faces:
            return FileResult((SampleResult("no_face", "no face found"),), digest, unread)
        endings = [""] if len(faces) == 1 else [f"-{number}" for number in range(len(faces))]
        samples = [
            SampleResult(
                "usable",
                path=_save(face, self.crops / f"{file.name}{ending}.png"),
                thumbnail=encode_thumbnail(thumbnail(face)),
            )
            for face, ending in zip(faces, endings, strict=True)
        ]
        return FileResult(tuple(samples), digest, unread)

    def _process_video(self, file: InputFile) -> Iterator[SampleResult]:
        path, mask = Path(file.path), Path(file.mask) if file.mask else None
        for frame in extract_frames(path, mask, self.frames, self.cropper):
            if frame.image is None:
                usable = file.path if frame.status == "usable" else ""
                yield SampleResult(frame.status, frame.reason, usable, frame.number)
            else:
                assert self.crops is not None
                place = self.crops / file.name / f"{frame.number:06d}{frame.ending}.png"
                encoded = encode_thumbnail(thumbnail(frame.image))
                yield SampleResult("usable", path=_save(frame.image, place), frame=frame.number, thumbnail=encoded)


def reject_duplicates(paths: Sequence[str], splits: Sequence[str], results: Sequence[FileResult]) -> list[FileResult]:
    """Keep one of several image files with identical bytes, and mark the others as duplicates.

    Copies in test take precedence over copies in val, and copies in val over copies in train. Within a split, the first
    copy is kept. The training split therefore loses its copies of validation and test images, and the validation split
    loses its copies of test images.

    Args:
        paths: path of each file.
        splits: split of each file.
        results: result of each file.
    """
    first: dict[str, int] = {}
    order = sorted(range(len(paths)), key=lambda row: (-SPLITS.index(splits[row]), row))
    updated = list(results)
    for row in order:
        result = results[row]
        if not result.digest or not any(sample.status == "usable" for sample in result.samples):
            continue
        kept = first.setdefault(result.digest, row)
        if kept != row:
            updated[row] = _rejected(result, "duplicate", f"same file as {paths[kept]}")
    return updated


def reject_conflicting_labels(
    paths: Sequence[str], labels: pd.DataFrame, results: Sequence[FileResult]
) -> list[FileResult]:
    """Mark all image files whose bytes are identical to those of a file with another label.

    Args:
        paths: path of each file.
        labels: label columns of the files; an empty label does not conflict with any other.
        results: result of each file.
    """
    rows = [
        row
        for row, result in enumerate(results)
        if result.digest and any(sample.status == "usable" for sample in result.samples)
    ]
    known = labels.iloc[rows].astype(object).reset_index(drop=True)
    known = known.where(known.notna() & (known != ""), None)
    digests = pd.Series([results[row].digest for row in rows], dtype=object)
    updated = list(results)
    for column in known:
        values = known[column].groupby(digests)
        for at in np.flatnonzero(values.transform("nunique").to_numpy() > 1):
            other = next(
                place
                for place in values.indices[digests[at]]
                if known.at[place, column] not in (None, known.at[at, column])
            )
            value, others = (text_of(known.at[place, column]) for place in (at, other))
            same = paths[rows[other]]
            what = "listed twice" if same == paths[rows[at]] else f"same file as {same}"
            reason = f"{what}, where {column} is {others}, not {value}"
            updated[rows[at]] = _rejected(results[rows[at]], "conflicting_labels", reason)
    return updated


def _rejected(result: FileResult, status: Status, reason: str) -> FileResult:
    samples = tuple(replace(sample, status=status, reason=reason, path="") for sample in result.samples)
    return replace(result, samples=samples)


def safe_name(text: str) -> str:
    """Return a readable file name that is valid on all systems."""
    return re.sub(r"[^\w.-]+", "_", text).strip("._")[:80] or "unnamed"


def _recall(file: InputFile, journal: Journal) -> FileResult | None:
    """Return the result of a file in the journal, or None if there is none or its crops no longer exist."""
    known = journal.find(file.path)
    if known is None:
        return None
    samples = tuple(SampleResult(**sample) for sample in known["samples"])
    result = FileResult(samples, known["digest"], known["unread_frames"])
    return result if all(Path(sample.path).is_file() for sample in result.samples if sample.path) else None


def _begin_crops(crops: Path, names: set[str]) -> None:
    """Record that crops with these names will be written, or raise an error if they would replace other files."""
    rewritten: list[str] = []
    for folder in sorted({name.rpartition("/")[0] for name in names}):
        for path in sorted((crops / folder).rglob("*.png")):
            name = path.relative_to(crops).as_posix()
            matched = _CROP.fullmatch(name)
            if matched is not None and matched["name"] in names:
                rewritten.append(name)
    refuse_foreign_names(crops, rewritten)
    begin_growing(crops, _CROP_PATTERNS, changing=rewritten)


def _check_inside(path: str, boundary: Path | None) -> None:
    if boundary is None:
        return
    try:
        inside = Path(path).resolve().is_relative_to(boundary.resolve())
    except (OSError, ValueError, RuntimeError):
        raise UnreadableImage("cannot be opened (invalid name or link)") from None
    if not inside:
        raise UnreadableImage("a link that leaves the data set's folder")


def _save(image: np.ndarray, path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    # An atomic write is not needed: unless the journal lists a file as finished, its images are written again.
    Image.fromarray(image).save(path, compress_level=1)
    return str(path)
