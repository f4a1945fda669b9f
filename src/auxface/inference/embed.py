"""Embeddings of faces or excerpts of music: vectors of unit norm, whose cosine measures similarity.

Example::

    embed("runs/id", Path("photos"), Path("embeddings.parquet"))
    gallery = read_embeddings(Path("embeddings.parquet"))
    gallery.vectors        # float32 [N, E]
"""

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from auxface.atomic import atomic_file, refuse_existing
from auxface.data.faces.detection import DetectorName
from auxface.data.images.decode import in_order
from auxface.data.layouts.registry import list_files
from auxface.data.manifest import KEY, Manifest, read_manifest
from auxface.data.media import printable
from auxface.data.samples import load_samples
from auxface.device import check_device
from auxface.errors import InputError
from auxface.evaluation.parquet_tables import read_whole_parquet
from auxface.evaluation.predictions import TableError
from auxface.inference.predict import print_note
from auxface.inference.predictor import Predictor, TorchScorer
from auxface.inference.preprocessing import FaceCrop, FacesMode, ImageInput
from auxface.model.directory import WEIGHTS
from auxface.model.saved_model import fetch_model
from auxface.model.scoring import embed_images
from auxface.progress import progress_bar
from auxface.sample_kind import SampleKind, kind_of

_CHUNK = 64
_BOX = ("x", "y", "width", "height")


@dataclass(frozen=True)
class Embeddings:
    """A table of embeddings.

    Attributes:
        table: table with one row per face. For a manifest, its columns are the path, split, key and groups of the
            sample; for image files, they are the path of the image and the number and box of the face. The last column
            is ``embedding``.
        header: ``model`` (model directory), ``weights`` (SHA-256 of the weights), ``width`` (embedding size) and
            ``threshold``, the similarity at or above which two faces count as the same person (null if the model stores
            no threshold), and ``samples``, the word for what was embedded (``faces`` or ``excerpts``).
        skipped: path of each image without an embedding, and the reason.
    """

    table: pd.DataFrame
    header: dict[str, Any]
    skipped: pd.DataFrame

    @property
    def vectors(self) -> np.ndarray:
        """The embeddings, float32 [N, E]."""
        return np.stack(self.table["embedding"].to_list()).astype(np.float32)


class Embedder:
    """A model that embeds the faces in images; faces are cropped as in training.

    Args:
        model: path of a model directory, or a Hub name.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        faces: see :class:`auxface.Predictor`.
        detector: see :class:`auxface.Predictor`.
        weights: see :class:`auxface.Predictor`.
        warn: callback that receives a message about each difference from training.

    Raises:
        InputError: the model does not exist, is invalid, or is a video model.
    """

    def __init__(
        self,
        model: str | Path,
        *,
        device: str = "auto",
        faces: FacesMode = "auto",
        detector: DetectorName | None = None,
        weights: Path | None = None,
        warn: Callable[[str], None] = print_note,
    ) -> None:
        if str(model).endswith(".onnx"):
            raise InputError(f"{model}: an exported file has no embeddings; use the model directory")
        saved = fetch_model(model)
        if saved.config.recipe.encoder.num_frames is not None:
            raise InputError(f"{model}: the model takes video clips; embeddings require an image model")
        self.scorer = TorchScorer(saved, device)
        self.config = saved.config
        self.cropper = Predictor(self.scorer, faces=faces, detector=detector, weights=weights, warn=warn)
        self.header = {
            "model": str(Path(model).resolve()) if Path(model).exists() else str(model),
            "weights": _digest(model),
            "width": int(saved.model.primary.embed(saved.model.pooled(self._blank())).shape[1]),
            "threshold": None if self.config.verification is None else self.config.verification.threshold,
            "samples": self.kind.samples,
        }

    @property
    def kind(self) -> SampleKind:
        """Return what the model embeds: faces or excerpts of music."""
        return kind_of(self.config.crop)

    def crop_faces(self, image: ImageInput) -> tuple[list[FaceCrop], str | None]:
        """Return the face crops of an image, and the reason if there are none."""
        return self.cropper.crop_faces(image)

    def embed_crops(self, crops: Iterable[np.ndarray]) -> np.ndarray:
        """Return the unit-norm embedding of each face crop, float32 [N, E]."""
        images = np.ascontiguousarray(np.stack(list(crops)).transpose(0, 3, 1, 2))
        return self.embed_images(images)

    def embed_images(self, images: np.ndarray, advance: Callable[[int], None] | None = None) -> np.ndarray:
        """Return unit-norm embeddings, float32 [N, E], of images, uint8 [N, 3, S, S] at the model's input size."""
        return embed_images(self.scorer.model, images, batch_size=self.scorer.batch_size, advance=advance)

    def _blank(self) -> Any:
        parameter = next(self.scorer.model.parameters())
        size = self.config.recipe.encoder.image_size
        return parameter.new_zeros((1, 3, size, size), dtype=parameter.dtype)


def embed(
    model: str | Path,
    source: Path,
    out: Path,
    *,
    split: str | None = None,
    faces: FacesMode = "auto",
    detector: DetectorName | None = None,
    weights: Path | None = None,
    device: str = "auto",
    overwrite: bool = False,
) -> Embeddings:
    """Write the embeddings of all faces in a folder, an image or a manifest as a Parquet table, and return them.

    For a model trained by metric learning, the embedding is its learned embedding. For any other model, it is the
    vector of normalized pooled features, which can be used to compare images but was not learned for comparing people.

    Args:
        model: path of a model directory, or a Hub name.
        source: path of a folder of images (searched recursively), an image, or a manifest.
        out: path of the table to write, ``.parquet``.
        split: split of the manifest to embed; by default all rows.
        faces: see :class:`auxface.Predictor`; ignored for a manifest, whose images are face crops.
        detector: see :class:`auxface.Predictor`.
        weights: see :class:`auxface.Predictor`.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        overwrite: whether to replace an existing file.

    Raises:
        InputError: the model is invalid, no image shows a face, or the output already exists.

    Example:
        >>> from pathlib import Path
        >>> import auxface
        >>> made = auxface.embed("runs/a", Path("faces"), Path("embeddings.parquet"))
        >>> made.vectors.shape == (len(made.table), made.header["width"])
        True
    """
    if out.suffix != ".parquet":
        raise InputError(f"{out}: the name of a table of embeddings must end in .parquet")
    refuse_existing(out, overwrite)
    check_device(device)
    if not source.exists():
        raise InputError(f"{source}: no such folder, image or manifest")
    is_manifest = source.suffix.lower() in (".parquet", ".csv") or (source / "shards.json").is_file()
    if split is not None and not is_manifest:
        raise InputError(f"{source}: not a manifest, so --split {split} does not apply; remove --split")
    embedder = Embedder(model, device=device, faces=faces, detector=detector, weights=weights)
    if is_manifest:
        manifest = read_manifest(source)
        made = embed_manifest(embedder, manifest if split is None else manifest.only(split), source.name)
    else:
        made = _embed_files(embedder, source)
    if not len(made.table):
        reason = f" ({made.skipped['reason'].iloc[0]})" if len(made.skipped) else ""
        raise InputError(f"{source}: no {embedder.kind.sample} could be embedded in any image{reason}")
    write_embeddings(made, out)
    return made


def embed_manifest(embedder: Embedder, manifest: Manifest, name: str) -> Embeddings:
    """Embed the images of a manifest; the table has the keys, splits, groups and paths of the manifest."""
    samples = load_samples(manifest, name, embedder.config.recipe)
    with progress_bar("embed", len(samples.images), samples.unit) as advance:
        vectors = embedder.embed_images(samples.images, advance)
    rows = samples.manifest.table
    columns: dict[str, Any] = {name: rows[name] for name in ("path", "split", *KEY)}
    columns["path"] = [str(path.resolve()) for path in samples.manifest.paths()]
    columns |= {f"group.{name}": rows[name] for name in samples.manifest.groups}
    table = pd.DataFrame(columns).assign(embedding=list(vectors))
    return Embeddings(table, embedder.header, samples.rejected[["path", "reason"]])


def _embed_files(embedder: Embedder, source: Path) -> Embeddings:
    files = list(list_files(source)) if source.is_dir() else [source]
    if not files:
        raise InputError(f"{source}: the folder has no images")
    rows: list[dict[str, Any]] = []
    skipped: list[dict[str, str]] = []
    with progress_bar("embed", len(files), embedder.kind.images) as advance:
        for start in range(0, len(files), _CHUNK):
            chunk = files[start : start + _CHUNK]
            found = list(in_order(embedder.crop_faces, chunk))
            crops = [crop.pixels for faces, _ in found for crop in faces]
            vectors = iter(embedder.embed_crops(crops) if crops else ())
            for path, (faces, reason) in zip(chunk, found, strict=True):
                place = printable(path.resolve())
                skipped += [] if reason is None else [{"path": place, "reason": reason}]
                for number, crop in enumerate(faces):
                    box = dict(zip(_BOX, map(float, crop.box), strict=True))
                    rows.append({"path": place, "face": number} | box | {"embedding": next(vectors)})
            advance(len(chunk))
    return Embeddings(pd.DataFrame(rows), embedder.header, pd.DataFrame(skipped, columns=["path", "reason"]))


def write_embeddings(embeddings: Embeddings, path: Path) -> None:
    """Write a table of embeddings as Parquet, with its header under the key ``auxface`` of the schema metadata."""
    arrays = pa.Table.from_pandas(embeddings.table.drop(columns="embedding"), preserve_index=False)
    vectors = pa.array([vector.tolist() for vector in embeddings.vectors], type=pa.list_(pa.float32()))
    arrays = arrays.append_column("embedding", vectors)
    head = json.dumps({"version": 1, "kind": "embeddings"} | embeddings.header).encode()
    with atomic_file(path) as temporary:
        pq.write_table(arrays.replace_schema_metadata({**(arrays.schema.metadata or {}), b"auxface": head}), temporary)


def read_embeddings(path: Path) -> Embeddings:
    """Read a table that :func:`embed` wrote.

    Raises:
        InputError: the file is missing, is not a table of embeddings, or contains embeddings of different sizes or
            values that are missing or infinite.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such table of embeddings; write one with 'auxface embed'")
    try:
        arrays = read_whole_parquet(path, lists=("embedding",))
        header = json.loads((arrays.schema.metadata or {})[b"auxface"])
        table = arrays.to_pandas()
        lengths = {len(vector) for vector in table["embedding"]}
        valid = header["kind"] == "embeddings" and lengths == {header["width"]} and "path" in table.columns
        valid = valid and bool(np.isfinite(np.stack(table["embedding"].to_list())).all())
    except TableError as error:
        raise InputError(str(error)) from None
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError):
        valid = False
    if not valid:
        raise InputError(f"{path}: not a table of embeddings; write one with 'auxface embed'")
    return Embeddings(table, header, pd.DataFrame(columns=["path", "reason"]))


def _digest(model: str | Path) -> str | None:
    """Return the SHA-256 of the weights in a model directory; None for a model on the Hub."""
    path = Path(model) / WEIGHTS
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
