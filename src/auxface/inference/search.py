"""Find the nearest faces in a table of embeddings, and write a page that shows them.

Example::

    hits = search(Path("embeddings.parquet"), Path("photo.jpg"), out=Path("hits.html"))
    hits[0].faces[0].path, hits[0].faces[0].similarity
"""

import base64
import filecmp
import functools
import importlib.util
import io
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from auxface.atomic import atomic_file, refuse_existing
from auxface.data.faces.detection import DetectorName
from auxface.data.images.decode import UnreadableImage, fit_square, read_image
from auxface.data.media import original_path, printable
from auxface.device import check_device
from auxface.errors import InputError
from auxface.evaluation.report.identity_pages import search_page
from auxface.inference.embed import Embedder, Embeddings, read_embeddings
from auxface.inference.preprocessing import FacesMode

_THUMBNAIL = 112


@dataclass(frozen=True)
class Hit:
    """A face found in the table.

    Attributes:
        path: path of the image that shows the face.
        face: number of the face in the image.
        similarity: cosine of the two embeddings, in [-1, 1].
        distance: 1 - similarity.
        same_person: whether the similarity is at or above the model's threshold; None if the model stores no threshold.
        same_file: whether the image is the query file itself, or a file with identical bytes.
        row: row of the face in the table.
    """

    path: str
    face: int
    similarity: float
    distance: float
    same_person: bool | None
    same_file: bool
    row: int


@dataclass(frozen=True)
class Hits:
    """The faces in the table that are nearest to one face of the query image.

    Attributes:
        box: box (x, y, width, height) of the face in the query image.
        faces: nearest faces, in order of decreasing similarity.
    """

    box: tuple[float, float, float, float]
    faces: tuple[Hit, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the hits as JSON-compatible data."""
        return {"box": list(self.box), "hits": [asdict(hit) for hit in self.faces]}


def search(
    embeddings: Path,
    image: Path,
    *,
    k: int = 10,
    out: Path | None = None,
    model: str | Path | None = None,
    faces: FacesMode = "auto",
    detector: DetectorName | None = None,
    weights: Path | None = None,
    device: str = "auto",
    overwrite: bool = False,
) -> list[Hits]:
    """Find the k nearest faces in a table of embeddings for each face of an image, and write a page that shows them.

    Args:
        embeddings: path of a table written by :func:`auxface.inference.embed.embed`.
        image: path of an image with one or more faces.
        k: maximum number of faces to return per query.
        out: path of the page to write, ``.html``; by default no page is written.
        model: model that computed the table; by default the model directory named in the table.
        faces: see :class:`auxface.Predictor`.
        detector: see :class:`auxface.Predictor`.
        weights: see :class:`auxface.Predictor`.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        overwrite: whether to replace an existing page.

    Raises:
        InputError: the table or image cannot be read, the image shows no face, the model is missing or its weights
            differ from those that computed the table, or the page already exists.

    Example:
        >>> from pathlib import Path
        >>> import auxface
        >>> image = next(Path("faces").glob("*.png"))
        >>> found, = auxface.search(Path("embeddings.parquet"), image, k=3, out=Path("hits.html"))
        >>> Path(found.faces[0].path).name == image.name, len(found.faces)
        (True, 3)
    """
    if out is not None:
        if out.suffix != ".html":
            raise InputError(f"{out}: the name of the page must end in .html")
        refuse_existing(out, overwrite)
    if k < 1:
        raise InputError(f"-k {k}: expected a number of at least 1")
    check_device(device)
    gallery = read_embeddings(embeddings)
    place = gallery.header["model"] if model is None else model
    if model is None and not Path(place).exists():
        raise InputError(
            f"{embeddings}: the model {place} of this table does not exist; name the model directory with --model"
        )
    embedder = Embedder(place, device=device, faces=faces, detector=detector, weights=weights)
    known, own = gallery.header.get("weights"), embedder.header["weights"]
    if known != own:
        raise InputError(
            f"{embeddings}: the weights of {place} are not those that computed the table; run 'auxface embed' again"
        )
    crops, reason = embedder.crop_faces(image)
    if not crops:
        raise InputError(f"{image}: {reason}")
    queries = embedder.embed_crops(crop.pixels for crop in crops)
    rows, similarities = nearest_neighbors(queries, gallery.vectors, k)
    threshold = embedder.header["threshold"]
    is_same = functools.cache(lambda path: _is_same_file(image, original_path(path)))
    found = [
        Hits(crop.box, tuple(_hit(gallery, int(row), float(each), threshold, is_same) for row, each in zip(*pair)))
        for crop, *pair in zip(crops, rows, similarities, strict=True)
    ]
    if out is not None:
        shown = [
            (_encoded(crop.pixels), [_shown(gallery, hit) for hit in hits.faces])
            for crop, hits in zip(crops, found, strict=True)
        ]
        page = search_page(
            f"{embedder.kind.samples.capitalize()} nearest to {printable(image.name)}",
            shown,
            kind=embedder.kind,
            searched=len(gallery.table),
            threshold=threshold,
        )
        with atomic_file(out) as temporary:
            temporary.write_text(page, encoding="utf-8")
    return found


def nearest_neighbors(queries: np.ndarray, gallery: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of the k most similar gallery embeddings for each query, and their similarities, both [Q, k].

    The search is exact. It uses faiss if it is installed, otherwise scikit-learn.

    Args:
        queries: query embeddings of unit norm, float [Q, E].
        gallery: gallery embeddings of unit norm, float [N, E].
        k: number of neighbors; at most N are returned.
    """
    k = min(k, len(gallery))
    if importlib.util.find_spec("faiss") is not None:
        import faiss  # pyright: ignore[reportMissingImports]

        index = faiss.IndexFlatIP(gallery.shape[1])
        index.add(np.ascontiguousarray(gallery, dtype=np.float32))
        similarities, rows = index.search(np.ascontiguousarray(queries, dtype=np.float32), k)
        return rows, similarities
    from sklearn.neighbors import NearestNeighbors

    index = NearestNeighbors(n_neighbors=k, metric="cosine", algorithm="brute").fit(gallery)
    distances, rows = index.kneighbors(queries)
    return rows, 1 - distances


def _hit(
    gallery: Embeddings, row: int, similarity: float, threshold: float | None, is_same: Callable[[str], bool]
) -> Hit:
    entry = gallery.table.iloc[row]
    path = str(entry["path"])
    same = None if threshold is None else similarity >= threshold
    return Hit(path, int(entry.get("face", 0)), similarity, 1 - similarity, same, is_same(path), row)


def _is_same_file(first: Path, second: Path) -> bool:
    """Return whether two paths refer to the same file, or to files with identical bytes."""
    try:
        return first.samefile(second) or filecmp.cmp(first, second, shallow=False)
    except OSError:
        return False


def _shown(gallery: Embeddings, hit: Hit) -> tuple[str | None, str, float, float, str]:
    """Return a hit's image, short path (parent folder and file name), similarity, distance and remark."""
    remark = "" if hit.same_person is None else "above the threshold" if hit.same_person else "below the threshold"
    path = Path(hit.path)
    name = f"{path.parent.name}/{path.name}"
    return (
        _thumbnail(gallery, hit.row),
        name,
        hit.similarity,
        hit.distance,
        "the same file" if hit.same_file else remark,
    )


def _thumbnail(gallery: Embeddings, row: int) -> str | None:
    """Return the face of a row as a ``data:`` URL; None if its image no longer exists."""
    entry = gallery.table.iloc[row]
    try:
        pixels = read_image(original_path(entry["path"]))
    except (UnreadableImage, OSError):
        return None
    if "width" in entry:
        height, width = pixels.shape[:2]
        left, top = max(int(entry["x"]), 0), max(int(entry["y"]), 0)
        right, bottom = min(int(entry["x"] + entry["width"]), width), min(int(entry["y"] + entry["height"]), height)
        if right > left and bottom > top:
            pixels = pixels[top:bottom, left:right]
    return _encoded(fit_square(pixels, _THUMBNAIL))


def _encoded(pixels: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).resize((_THUMBNAIL, _THUMBNAIL)).save(buffer, "JPEG", quality=88)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
