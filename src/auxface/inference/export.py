"""A model as a file for other runtimes: ONNX, or torch.export; with preprocessing, names and thresholds inside.

``auxface export``: a model directory to a file for other runtimes.
"""

import contextlib
import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from auxface.atomic import atomic_file, refuse_existing
from auxface.data.images.decode import UnreadableImage, fit_square, read_image
from auxface.data.layouts.tree import files_under
from auxface.data.manifest import read_manifest
from auxface.data.samples import load_samples
from auxface.errors import InputError
from auxface.inference.onnx_model import INPUT, LOGITS, METADATA, need_onnxruntime, quantize
from auxface.model.config import ModelConfig, TaskRecord
from auxface.model.directory import SavedModel
from auxface.model.hub import fetch_model
from auxface.progress import progress_bar
from auxface.recipe import Recipe

Format = Literal["onnx", "pt2"]
SCORES = "scores."
OPSET = 18


class Exported(nn.Module):
    """Images to calibrated scores and logits of every task, flat and in order, as an exported file gives them.

    Args:
        saved: the model; normalization and, for models that read texture, the texture map are inside.
    """

    def __init__(self, saved: SavedModel) -> None:
        super().__init__()
        self.model = saved.model.eval()
        self.tasks = saved.config.tasks

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """float [B, 3, S, S], or clips [B, T, 3, S, S], in [0, 1] to (scores, logits) of each task in turn."""
        logits = self.model.logits(images)
        return tuple(part for task in self.tasks for part in (_scored(task, logits[task.name]), logits[task.name]))

    @property
    def names(self) -> list[str]:
        """Of the outputs."""
        return [prefix + task.name for task in self.tasks for prefix in (SCORES, LOGITS)]


def _scored(task: TaskRecord, logits: Tensor) -> Tensor:
    scaled = logits / task.temperature
    return scaled.softmax(dim=1) if task.kind in ("class", "ordinal") else scaled.sigmoid()


def export_model(
    saved: SavedModel,
    out: Path,
    *,
    format: Format = "onnx",
    int8: Literal["none", "dynamic", "static"] = "none",
    calibration: np.ndarray | None = None,
) -> None:
    """Write a model for use without auxface; any batch size.

    Args:
        saved: the model.
        out: the file to make.
        format: ``onnx``, or ``pt2`` for :func:`torch.export.load`.
        int8: weights as 8-bit integers, computed with activations that are quantized on the fly (``dynamic``) or by
            ranges found on images (``static``). Measure it by group before use.
        calibration: uint8 [N, 3, S, S], needed for ``static``.

    Raises:
        InputError: a missing package, an encoder that cannot be exported, or options that do not go together.
    """
    if format not in ("onnx", "pt2"):
        raise InputError(f"format '{format}': expected onnx or pt2")
    if int8 != "none" and format != "onnx":
        raise InputError("int8 is for ONNX Runtime; use --format onnx")
    if int8 == "static" and calibration is None:
        raise InputError("static quantization finds ranges on images; give some with --calibrate FOLDER or MANIFEST")
    module = Exported(SavedModel(saved.model.cpu(), saved.config))
    # Two images: a batch of one would be taken for a constant.
    example = torch.zeros(2, *saved.config.recipe.encoder.sample_shape)
    with atomic_file(out) as beside:
        if format == "pt2":
            _write_pt2(module, example, saved.config, beside)
            return
        _write_onnx(module, example, beside)
        if int8 != "none":
            quantize(beside, static=int8 == "static", images=calibration)
        _describe(beside, saved.config, int8)


def _write_pt2(module: Exported, example: Tensor, config: ModelConfig, path: Path) -> None:
    with _quiet(), torch.no_grad():
        program = _exportable(
            lambda: torch.export.export(module, (example,), dynamic_shapes=({0: torch.export.Dim("batch")},))
        )
        torch.export.save(program, path, extra_files={f"{METADATA}.json": json.dumps(metadata(config, "none"))})


def _write_onnx(module: Exported, example: Tensor, path: Path) -> None:
    need_onnxruntime()
    try:
        import onnxscript  # noqa: F401  # pyright: ignore[reportUnusedImport]
    except ImportError:
        raise InputError("export to ONNX needs onnx and onnxscript; pip install 'auxface[export]'") from None
    with _quiet(), torch.no_grad():
        _exportable(
            lambda: torch.onnx.export(
                module,
                (example,),
                path,
                input_names=[INPUT],
                output_names=module.names,
                dynamic_shapes={"images": {0: torch.export.Dim("batch")}},
                opset_version=OPSET,
                dynamo=True,
                external_data=False,
                verbose=False,
            )
        )


def metadata(config: ModelConfig, int8: str) -> dict[str, Any]:
    """What stands in an exported file under the key ``auxface``, as JSON.

    ``tasks`` and ``image_size`` (of clips also ``num_frames``) are all that a program needs that runs the file alone;
    ``config`` is the whole ``config.json``.
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
        **clips,
        "crop": config.crop,
        "int8": int8,
        "tasks": tasks,
        "config": config.model_dump(mode="json"),
    }


def _describe(path: Path, config: ModelConfig, int8: str) -> None:
    import onnx

    model = onnx.load(path)
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, {METADATA: json.dumps(metadata(config, int8))})
    model.producer_name = "auxface"
    model.doc_string = f"{config.recipe.name}: RGB faces in, calibrated scores and logits out"
    # Traces of source files, which name folders of the machine that exported.
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for function in model.functions:
        for node in function.node:
            del node.metadata_props[:]
    onnx.checker.check_model(model)
    onnx.save(model, path)


def _exportable(make: Callable[[], Any]) -> Any:
    try:
        return make()
    except InputError:
        raise
    # The exporter's errors are of many kinds and many lines.
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise InputError(f"this model cannot be exported ({type(error).__name__}: {reason})") from None


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's own progress and warnings off the terminal."""
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


_CALIBRATION_IMAGES = 256


def export(
    model: str | Path,
    out: Path,
    *,
    format: Format = "onnx",
    int8: Literal["none", "dynamic", "static"] = "none",
    calibrate: Path | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Write a model as ONNX or as a torch.export program, with preprocessing, class names and thresholds inside.

    Args:
        model: a model directory or a hub name.
        out: the file to make, ``.onnx`` or ``.pt2``.
        format: ``onnx`` or ``pt2``.
        int8: ``dynamic`` or ``static``: matrix products in 8-bit integers.
        calibrate: images for ``static``: a manifest, of which validation rows are read, or a folder of faces cut as
            the model's; at most 256 are used.
        overwrite: replace ``out`` if it exists.

    Returns:
        What was written, as the file's metadata holds it, with ``bytes``.

    Raises:
        InputError: a missing package, a model that cannot be exported, a wrong suffix, an output that exists.
    """
    if out.suffix != f".{format}":
        raise InputError(f"{out}: a file of format {format} is named .{format}")
    refuse_existing(out, overwrite)
    saved = fetch_model(model)
    images = None if calibrate is None else _images(calibrate, saved.config.recipe)
    with progress_bar(f"export {format}", 1) as advance:
        export_model(saved, out, format=format, int8=int8, calibration=images)
        advance(1)
    return {key: value for key, value in metadata(saved.config, int8).items() if key != "config"} | {
        "bytes": out.stat().st_size
    }


def _images(place: Path, recipe: Recipe) -> np.ndarray:
    size = recipe.encoder.image_size
    if not place.is_dir():
        part = load_samples(read_manifest(place).only("val"), "val", recipe).images
        return part[np.unique(np.linspace(0, len(part) - 1, _CALIBRATION_IMAGES).round().astype(int))]
    if recipe.encoder.num_frames is not None:
        raise InputError(f"{place}: ranges of a model of clips are found on videos; name a manifest")
    squares = []
    for path in files_under(place):
        try:
            squares.append(fit_square(read_image(path), size).transpose(2, 0, 1))
        except UnreadableImage:
            continue
        if len(squares) == _CALIBRATION_IMAGES:
            break
    if not squares:
        raise InputError(f"{place}: no image to find ranges on")
    return np.stack(squares)
