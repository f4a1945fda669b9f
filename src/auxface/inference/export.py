"""Export a model to ONNX or torch.export, including preprocessing, class names and thresholds.

Example::

    export("runs/x", Path("x.onnx"))
    export("runs/x", Path("x.int8.onnx"), int8="static", calibrate=Path("faces.parquet"))
"""

import contextlib
import errno
import io
import json
import logging
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from auxface.atomic import atomic_file, refuse_existing
from auxface.data.images.decode import UnreadableImage, fit_square, read_image
from auxface.data.layouts.registry import list_files
from auxface.data.manifest import read_manifest
from auxface.data.samples import load_samples
from auxface.errors import InputError
from auxface.inference.onnx_model import INPUT, LOGITS, METADATA, import_onnxruntime, quantize
from auxface.model.config import ModelConfig, TaskRecord
from auxface.model.saved_model import SavedModel, fetch_model
from auxface.progress import progress_bar
from auxface.recipe import Recipe

Format = Literal["onnx", "pt2"]
Quantization = Literal["none", "dynamic", "static"]
SCORES = "scores."
OPSET = 18
_MAX_CALIBRATION_IMAGES = 256
# With torch 2.7, a dimension without an upper limit cannot be exported.
_MOST_IMAGES = 2**31 - 1


def export(
    model: str | Path,
    out: Path,
    *,
    format: Format = "onnx",
    int8: Quantization = "none",
    calibrate: Path | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Write a model as an ONNX file or a torch.export program.

    Args:
        model: path of a model directory, or a Hub name.
        out: path of the file to write, ``.onnx`` or ``.pt2``.
        format: output format, ``onnx`` or ``pt2``.
        int8: ``dynamic`` or ``static`` to quantize matrix products to 8-bit integers; see :func:`export_model`.
        calibrate: path of the calibration images for ``static``: a manifest, of which the validation split is used, or
            a folder of face crops. At most 256 images are used.
        overwrite: whether to replace ``out`` if it exists.

    Returns:
        The metadata of the file (without ``config``), with the size of the file in bytes under ``bytes``.

    Raises:
        InputError: a required package is not installed, the model cannot be exported, the suffix of ``out`` does not
            match the format, or ``out`` already exists.

    Example:
        >>> from pathlib import Path
        >>> import auxface
        >>> metadata = auxface.export("runs/a", Path("model.onnx"))
        >>> metadata["bytes"] == Path("model.onnx").stat().st_size
        True
    """
    if out.suffix != f".{format}":
        raise InputError(f"{out}: the name of a file of format {format} must end in .{format}")
    refuse_existing(out, overwrite)
    saved = fetch_model(model)
    saved.config.require_tasks(model)
    images = None if calibrate is None else _calibration_images(calibrate, saved.config.recipe)
    with progress_bar(f"export {format}", 1) as advance:
        export_model(saved, out, format=format, int8=int8, calibration=images)
        advance(1)
    return {key: value for key, value in metadata(saved.config, int8).items() if key != "config"} | {
        "bytes": out.stat().st_size
    }


def export_model(
    saved: SavedModel,
    out: Path,
    *,
    format: Format = "onnx",
    int8: Quantization = "none",
    calibration: np.ndarray | None = None,
) -> None:
    """Write a loaded model as an ONNX file or a torch.export program that accepts any batch size.

    Args:
        saved: loaded model.
        out: path of the file to write.
        format: output format: ``onnx``, or ``pt2`` for :func:`torch.export.load`.
        int8: quantization to 8-bit integer weights, with activation ranges determined at run time (``dynamic``) or
            measured on images (``static``). Evaluate the result by group before using it.
        calibration: calibration images, uint8 [N, 3, S, S]; required for ``static``.

    Raises:
        InputError: a required package is not installed, the encoder cannot be exported, or the options are
            inconsistent.
    """
    if format not in ("onnx", "pt2"):
        raise InputError(f"format '{format}': expected onnx or pt2")
    if int8 != "none" and format != "onnx":
        raise InputError("int8 needs ONNX Runtime; use --format onnx")
    if int8 == "static" and calibration is None:
        raise InputError("static quantization needs calibration images; name a manifest or folder with --calibrate")
    module = ExportedModel(SavedModel(saved.model.cpu(), saved.config))
    # The example has two images, since torch.export treats a batch size of one as a constant.
    example = torch.zeros(2, *saved.config.recipe.encoder.sample_shape)
    with atomic_file(out) as temporary, _full_disk_errors():
        if format == "pt2":
            _write_pt2(module, example, saved.config, temporary)
            return
        _write_onnx(module, example, temporary)
        if int8 != "none":
            quantize(temporary, static=int8 == "static", images=calibration)
        _add_metadata(temporary, saved.config, int8)


class ExportedModel(nn.Module):
    """The exported form of a model: it maps images to the calibrated scores and logits of every task.

    Args:
        saved: loaded model. The module includes normalization and, for a model that classifies texture maps, the
            computation of these maps.
    """

    def __init__(self, saved: SavedModel) -> None:
        super().__init__()
        self.model = saved.model.eval()
        self.tasks = saved.config.tasks

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return the scores and logits of each task in turn.

        Args:
            images: images in [0, 1], float [B, 3, S, S], or video clips, float [B, T, 3, S, S].
        """
        logits = self.model.logits(images)
        return tuple(part for task in self.tasks for part in (_scores(task, logits[task.name]), logits[task.name]))

    @property
    def names(self) -> list[str]:
        """Names of the outputs, that is, scores and logits of each task, in the order of :meth:`forward`."""
        return [prefix + task.name for task in self.tasks for prefix in (SCORES, LOGITS)]


def _scores(task: TaskRecord, logits: Tensor) -> Tensor:
    scaled = logits / task.temperature
    return scaled.softmax(dim=1) if task.kind in ("class", "ordinal") else scaled.sigmoid()


def metadata(config: ModelConfig, int8: str) -> dict[str, Any]:
    """Return the JSON content of the metadata key ``auxface`` of an exported file.

    A program that runs the file without auxface needs ``tasks``, ``image_size``, ``evaluation_crop`` and, for video
    models, ``num_frames``. ``config`` is the content of ``config.json``.
    """
    tasks = [
        {
            "name": task.name,
            "kind": task.kind,
            "classes": list(task.classes),
            "values": list(task.values),
            "thresholds": task.thresholds,
            "abstain": task.abstain,
            "scores": SCORES + task.name,
            "logits": LOGITS + task.name,
        }
        for task in config.tasks
    ]
    frames = config.recipe.encoder.num_frames
    clips = {} if frames is None else {"num_frames": frames}
    shape = "batch, 3, image_size, image_size" if frames is None else "batch, num_frames, 3, image_size, image_size"
    return {
        "format": 1,
        "input": f"RGB, float32 [{shape}] in [0, 1]; normalization is in the graph",
        "image_size": config.recipe.encoder.image_size,
        "evaluation_crop": config.recipe.encoder.evaluation_crop,
        **clips,
        "crop": config.crop,
        "int8": int8,
        "tasks": tasks,
        "config": config.model_dump(mode="json"),
    }


def _write_pt2(module: ExportedModel, example: Tensor, config: ModelConfig, path: Path) -> None:
    with _silent(), torch.no_grad():
        program = _checked(
            lambda: torch.export.export(
                module, (example,), dynamic_shapes=({0: torch.export.Dim("batch", max=_MOST_IMAGES)},)
            )
        )
        # Given a path, torch writes in C++ and aborts the process if the disk is full.
        archive = io.BytesIO()
        torch.export.save(program, archive, extra_files={f"{METADATA}.json": json.dumps(metadata(config, "none"))})
    path.write_bytes(archive.getbuffer())


def _write_onnx(module: ExportedModel, example: Tensor, path: Path) -> None:
    import_onnxruntime()
    try:
        import onnxscript  # noqa: F401  # pyright: ignore[reportUnusedImport]
    except ImportError:
        raise InputError("export to ONNX needs onnx and onnxscript; pip install 'auxface[export]'") from None
    with _silent(), torch.no_grad():
        _checked(
            lambda: torch.onnx.export(
                module,
                (example,),
                path,
                input_names=[INPUT],
                output_names=module.names,
                dynamic_shapes={"images": {0: torch.export.Dim("batch", max=_MOST_IMAGES)}},
                opset_version=OPSET,
                dynamo=True,
                external_data=False,
                verbose=False,
            )
        )


def _add_metadata(path: Path, config: ModelConfig, int8: str) -> None:
    """Add the metadata to an ONNX file, and remove information about the machine that exported it."""
    import onnx

    model = onnx.load(path)
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, {METADATA: json.dumps(metadata(config, int8))})
    model.producer_name = "auxface"
    model.doc_string = f"{config.recipe.name}: from RGB face crops to calibrated scores and logits"
    # The exporter stores stack traces, which contain folder names.
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for function in model.functions:
        for node in function.node:
            del node.metadata_props[:]
    onnx.checker.check_model(model)
    onnx.save(model, path)


def _checked(export: Callable[[], Any]) -> Any:
    """Call an exporter and return its result; convert its errors to InputError."""
    try:
        return export()
    except (InputError, OSError):
        raise
    # The exporters raise many types of exceptions, with long messages.
    except Exception as error:
        if _is_disk_full(error):
            raise
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise InputError(f"this model cannot be exported ({type(error).__name__}: {reason})") from None


@contextlib.contextmanager
def _full_disk_errors() -> Iterator[None]:
    """Convert exceptions that a full disk causes inside the block to an OSError with errno ENOSPC."""
    try:
        yield
    except Exception as error:
        if not _is_disk_full(error):
            raise
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error


def _is_disk_full(error: BaseException | None) -> bool:
    """Return whether an error or one of its causes is an OSError that a full disk caused."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        error = error.__cause__ or error.__context__
    return False


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Suppress the exporter's progress output and warnings."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "torch.export", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def _calibration_images(path: Path, recipe: Recipe) -> np.ndarray:
    """Return at most 256 images of a manifest's validation split or of a folder, uint8 [N, 3, S, S]."""
    size = recipe.encoder.image_size
    if not path.is_dir():
        images = load_samples(read_manifest(path).only("val"), "val", recipe).images
        return images[np.unique(np.linspace(0, len(images) - 1, _MAX_CALIBRATION_IMAGES).round().astype(int))]
    if recipe.encoder.num_frames is not None:
        raise InputError(f"{path}: a video model is calibrated on video clips; name a manifest")
    images = []
    for file in list_files(path):
        try:
            images.append(fit_square(read_image(file), size, recipe.encoder.evaluation_crop).transpose(2, 0, 1))
        except UnreadableImage:
            continue
        if len(images) == _MAX_CALIBRATION_IMAGES:
            break
    if not images:
        raise InputError(f"{path}: the folder has no readable image")
    return np.stack(images)
