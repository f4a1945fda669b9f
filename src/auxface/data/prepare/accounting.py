"""Each file of a listing is opened once: can it be read, is there a face in it, and what becomes of it?

The same image twice: byte by byte while preparing, and by how it looks when a manifest is inspected.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from auxface.data.copies import look, to_text
from auxface.data.faces import FaceCutter
from auxface.data.images.decode import MAX_BYTES, UnreadableImage, read_bytes, read_image
from auxface.data.layouts.tree import VIDEO_SUFFIXES
from auxface.data.manifest import SPLITS
from auxface.data.parallel import in_order
from auxface.data.prepare.journal import Journal, file_state
from auxface.data.prepare.video_files import take_frames
from auxface.data.video.frames import FrameSettings, UnreadableVideo
from auxface.output_folder import begin_growing, record_files, refuse_foreign_names

# Crops of an image (ITEM.png, ITEM-0.png and so on) and frames of a video (ITEM/000000.png). The end of an item's name
# is a hash of its key.
_CROP = re.compile(r"(?P<item>.+-[0-9a-f]{10})(-[0-9]+|/[0-9]{6}[^/]*)?\.png")
_HASH = "[0-9a-f]" * 10
_CROP_PATTERNS = tuple(f"*/*/*-{_HASH}{ending}.png" for ending in ("", "-[0-9]*", "/[0-9]*"))

Status = Literal["usable", "no_face", "unreadable", "duplicate"]
STATUSES: tuple[Status, ...] = ("usable", "no_face", "unreadable", "duplicate")


@dataclass(frozen=True)
class Item:
    """An image or video to be opened.

    Attributes:
        path: absolute.
        mask: an image or video that is not black where a face was forged; empty where there is none.
        name: where its crops go, below the folder for crops, without a suffix; differs for every item.
    """

    path: str
    mask: str
    name: str

    @property
    def is_video(self) -> bool:
        """Whether the file's name is a video's."""
        return self.path.lower().endswith(VIDEO_SUFFIXES)


@dataclass(frozen=True)
class Piece:
    """What came of an item, or of one frame, clip or face of it.

    Attributes:
        status: see :data:`STATUSES`.
        reason: why it is not usable; empty where it is.
        path: the image to use; empty where it is not usable.
        frame: number of the frame in its video; 0 for stills.
        look: what it looks like, as :func:`auxface.data.copies.to_text` has it; empty where there is no image.
    """

    status: Status
    reason: str = ""
    path: str = ""
    frame: int = 0
    look: str = ""


@dataclass(frozen=True)
class Outcome:
    """All pieces of an item.

    Attributes:
        pieces: at least one.
        digest: SHA-256 of an image's file; empty for videos and where it could not be read.
    """

    pieces: tuple[Piece, ...]
    digest: str = ""


@dataclass(frozen=True)
class Intake:
    """How items are taken in.

    Attributes:
        tree: a folder that no file may lie outside of, links followed; or None.
        cutter: cuts faces out; None keeps whole images.
        frames: which frames of a video are taken; None leaves videos as they are.
        crops: folder for the images that are made; needed with a cutter or frames.
    """

    tree: Path | None = None
    cutter: FaceCutter | None = None
    frames: FrameSettings | None = None
    crops: Path | None = None

    def take(self, item: Item) -> Outcome:
        """Open one item, and write what is cut from it."""
        try:
            check_inside(item.path, self.tree)
            if item.mask:
                check_inside(item.mask, self.tree)
            if item.is_video:
                return Outcome(tuple(self._video(item)))
            return self._image(item)
        except (UnreadableImage, UnreadableVideo) as error:
            return Outcome((Piece("unreadable", str(error)),))

    def take_all(self, items: Iterable[Item], journal: Journal) -> Iterator[Outcome]:
        """Take many items on all cores, in order; those that the journal knows are not opened again.

        Raises:
            InputError: a crop would replace a file that auxface did not write, or that has changed since.
        """
        items = list(items)
        known = [_known(item, journal) for item in items]
        crops = self.crops if self.cutter is not None or self.frames is not None else None
        if crops is not None:
            _begin_crops(crops, {item.name for item, outcome in zip(items, known, strict=True) if outcome is None})

        def work(number: int) -> tuple[Outcome, str | None]:
            outcome = known[number]
            if outcome is not None:
                return outcome, None
            state = file_state(items[number].path)
            return self.take(items[number]), state

        made: list[str] = []
        for item, (outcome, state) in zip(items, in_order(work, range(len(items))), strict=True):
            if state is not None:
                journal.add(item.path, state, asdict(outcome))
            if crops is not None:
                start = str(crops / item.name)
                made += [piece.path for piece in outcome.pieces if piece.path.startswith(start)]
            yield outcome
        if crops is not None:
            record_files(crops, [Path(path).relative_to(crops).as_posix() for path in made])

    def _image(self, item: Item) -> Outcome:
        data = read_bytes(Path(item.path), MAX_BYTES)
        image = read_image(data)
        digest = hashlib.sha256(data).hexdigest()
        if self.cutter is None or self.crops is None:
            return Outcome((Piece("usable", path=item.path, look=to_text(look(image))),), digest)
        mask = None
        if item.mask and self.cutter.settings.which == "mask":
            mask = read_image(Path(item.mask)).max(2) > 0
        faces = [image for _, image in self.cutter.cut(image, mask)]
        if not faces:
            return Outcome((Piece("no_face", "no face found"),), digest)
        endings = [""] if len(faces) == 1 else [f"-{number}" for number in range(len(faces))]
        pieces = [
            Piece("usable", path=_save(face, self.crops / f"{item.name}{ending}.png"), look=to_text(look(face)))
            for face, ending in zip(faces, endings, strict=True)
        ]
        return Outcome(tuple(pieces), digest)

    def _video(self, item: Item) -> Iterator[Piece]:
        path, mask = Path(item.path), Path(item.mask) if item.mask else None
        for taken in take_frames(path, mask, self.frames, self.cutter):
            if taken.image is None:
                yield Piece(taken.status, taken.reason, item.path if taken.status == "usable" else "", taken.frame)
            else:
                assert self.crops is not None
                place = self.crops / item.name / f"{taken.frame:06d}{taken.ending}.png"
                seen = to_text(look(taken.image))
                yield Piece("usable", path=_save(taken.image, place), frame=taken.frame, look=seen)


def _known(item: Item, journal: Journal) -> Outcome | None:
    """What the journal has of an item, if its crops are still there."""
    known = journal.find(item.path)
    if known is None:
        return None
    outcome = Outcome(tuple(Piece(**piece) for piece in known["pieces"]), known["digest"])
    return outcome if all(Path(piece.path).is_file() for piece in outcome.pieces if piece.path) else None


def _begin_crops(crops: Path, names: set[str]) -> None:
    """Record that crops of the items of these names are made anew, if nothing else is in their way."""
    again: list[str] = []
    for folder in sorted({name.rpartition("/")[0] for name in names}):
        for path in sorted((crops / folder).rglob("*.png")):
            name = path.relative_to(crops).as_posix()
            named = _CROP.fullmatch(name)
            if named is not None and named["item"] in names:
                again.append(name)
    refuse_foreign_names(crops, again)
    begin_growing(crops, _CROP_PATTERNS, changing=again)


def check_inside(path: str, tree: Path | None) -> None:
    """Refuse a link that leads out of the data set's folder.

    Raises:
        UnreadableImage: it does.
    """
    if tree is None:
        return
    try:
        inside = Path(path).resolve().is_relative_to(tree.resolve())
    except (OSError, ValueError, RuntimeError):
        raise UnreadableImage("cannot be opened (bad name or link)") from None
    if not inside:
        raise UnreadableImage("a link that leaves the data set's folder")


def safe_name(text: str) -> str:
    """A file name that is safe on every system and still legible."""
    return re.sub(r"[^\w.-]+", "_", text).strip("._")[:80] or "unnamed"


def _save(image: np.ndarray, path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Without the cost of an atomic file: the journal names it only once it is whole, and a redone item writes it anew.
    Image.fromarray(image).save(path, compress_level=1)
    return str(path)


def mark_duplicates(paths: Sequence[str], splits: Sequence[str], outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Of images that are the same file, byte by byte, keep one: in test before val before train, then the first.

    Test is kept so that what a model is measured on stays whole and loses its copies in training.

    Args:
        paths: of each item.
        splits: of each item.
        outcomes: of each item.
    """
    first: dict[str, int] = {}
    order = sorted(range(len(paths)), key=lambda row: (-SPLITS.index(splits[row]), row))
    result = list(outcomes)
    for row in order:
        outcome = outcomes[row]
        if not outcome.digest or outcome.pieces[0].status != "usable":
            continue
        kept = first.setdefault(outcome.digest, row)
        if kept != row:
            reason = f"same file as {paths[kept]}"
            pieces = tuple(replace(piece, status="duplicate", reason=reason, path="") for piece in outcome.pieces)
            result[row] = Outcome(pieces, outcome.digest)
    return result
