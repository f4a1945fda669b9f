"""Run ONNX models exported by ``auxface export`` with ONNX Runtime, and quantize them to 8 bits.

Example::

    model = OnnxModel(Path("x.onnx"))
    model.score_images(images)    # logits per task

Files are quantized with the tools of ONNX Runtime::

    quantize(Path("x.onnx"), static=True, images=images)
"""

import contextlib
import io
import json
import logging
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError

from auxface.errors import InputError
from auxface.model.config import ModelConfig
from auxface.model.scoring import suitable_batch

METADATA = "auxface"
INPUT = "images"
LOGITS = "logits."
_MAX_BYTES = 8 * 2**30
_CALIBRATION_BATCH = 16


class OnnxModel:
    """An exported model that computes logits for images.

    Args:
        path: path of an ``.onnx`` file that ``auxface export`` wrote.
        device: ``cuda`` selects the CUDA provider, any other value the CPU provider.
        threads: number of threads per run; 0 means as many as torch uses.

    Attributes:
        config: configuration from the metadata of the file, as in a model directory.
        session: ONNX Runtime session.
        one_by_one: whether each image is scored separately, because the quantization depends on the batch.
        batch_size: batch size with the highest throughput.

    Raises:
        InputError: the file does not exist or was not exported by auxface, or ONNX Runtime is not installed or cannot
            run the file.
    """

    def __init__(self, path: Path, device: str = "auto", *, threads: int = 0) -> None:
        path = Path(path)
        self.session = open_session(path, device, threads=threads)
        self.config, int8 = _read_metadata(self.session.get_modelmeta().custom_metadata_map, path)
        provider = "cuda" if "CUDAExecutionProvider" in self.session.get_providers() else "cpu"
        # Dynamic quantization uses the range of the whole batch, so one image would change the scores of the others.
        self.one_by_one = int8 == "dynamic"
        self.batch_size = 1 if self.one_by_one else suitable_batch(provider, self.config.recipe.encoder.image_size)
        names = {output.name for output in self.session.get_outputs()}
        missing = [task.name for task in self.config.tasks if LOGITS + task.name not in names]
        if missing or [one.name for one in self.session.get_inputs()] != [INPUT]:
            raise InputError(f"{path}: its inputs and outputs do not match its metadata; export the model again")

    def score_images(
        self,
        images: np.ndarray,
        *,
        batch_size: int | None = None,
        transform: Callable[[torch.Tensor, int], torch.Tensor] | None = None,
        advance: Callable[[int], None] | None = None,
    ) -> dict[str, np.ndarray]:
        """Return the logits of each task, float32 [N, outputs], as :func:`auxface.model.scoring.score_images` does.

        Args:
            images: images at the model's input size, uint8 [N, 3, S, S].
            batch_size: number of images per batch, by default :attr:`batch_size`; ignored if images are scored one by
                one.
            transform: function applied to each uint8 batch before scoring; it receives the batch and the index of its
                first image.
            advance: callback that receives the number of scored images.
        """
        names = [LOGITS + task.name for task in self.config.tasks]
        collected: list[list[np.ndarray]] = []
        step = 1 if self.one_by_one else batch_size or self.batch_size
        for start in range(0, len(images), step):
            batch = np.asarray(images[start : start + step])
            if transform is not None:
                batch = transform(torch.from_numpy(np.array(batch)), start).numpy()
            scaled = batch.astype(np.float32)
            scaled *= np.float32(1 / 255)
            collected.append(self.session.run(names, {INPUT: scaled}))
            if advance is not None:
                advance(len(batch))
        if not collected:
            return {task.name: np.zeros((0, task.learned_task().outputs), np.float32) for task in self.config.tasks}
        return {
            task.name: np.concatenate(parts) for task, parts in zip(self.config.tasks, zip(*collected), strict=True)
        }


def open_session(path: Path, device: str = "auto", *, threads: int = 0) -> Any:
    """Open an ONNX Runtime session for a file; the arguments are those of :class:`OnnxModel`.

    Raises:
        InputError: the file does not exist, is too large or cannot be run, or ONNX Runtime is not installed.
    """
    runtime = import_onnxruntime()
    if not path.is_file():
        raise InputError(f"{path}: no such file; export one with 'auxface export MODEL --format onnx -o {path}'")
    if path.stat().st_size > _MAX_BYTES:
        raise InputError(f"{path}: the file is larger than {_MAX_BYTES >> 30} GiB")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads or torch.get_num_threads()
    options.log_severity_level = 3
    # Spinning threads would occupy cores that decoding and other programs need.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    names = ["CUDAExecutionProvider", "CPUExecutionProvider"] if device == "cuda" else ["CPUExecutionProvider"]
    providers = [name for name in names if name in runtime.get_available_providers()]
    try:
        # The model is loaded from bytes, so that it cannot refer to other files for its weights.
        return runtime.InferenceSession(path.read_bytes(), options, providers=providers)
    # ONNX Runtime's exceptions have no common base class other than Exception.
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise InputError(f"{path}: ONNX Runtime cannot run this file ({reason})") from None


def import_onnxruntime() -> Any:
    """Import and return the module ``onnxruntime``.

    Raises:
        InputError: ONNX Runtime is not installed.
    """
    try:
        import onnxruntime
    except ImportError:
        raise InputError("ONNX Runtime is not installed; pip install 'auxface[export]'") from None
    return onnxruntime


def _read_metadata(metadata: dict[str, str], path: Path) -> tuple[ModelConfig, str]:
    """Return the configuration and the quantization (``none``, ``dynamic`` or ``static``) from a file's metadata."""
    if METADATA not in metadata:
        raise InputError(f"{path}: auxface did not export this ONNX file (no '{METADATA}' in its metadata)")
    try:
        content: Any = json.loads(metadata[METADATA])
        return ModelConfig.model_validate_json(json.dumps(content["config"])), str(content.get("int8", "none"))
    except (ValidationError, ValueError, KeyError, TypeError, RecursionError):
        raise InputError(
            f"{path}: its metadata is not a valid model configuration for this version of auxface; export the model "
            "again"
        ) from None


def quantize(path: Path, *, static: bool, images: np.ndarray | None = None) -> None:
    """Replace an ONNX file with its 8-bit quantized version.

    Matrix products (and convolutions, with ``static``) are quantized per channel, so that one large weight does not
    reduce the precision of the others. The heads remain in floating point: they are small, and the scores are their
    outputs.

    Args:
        path: path of the file to replace.
        static: whether activation ranges are measured on images in advance rather than at run time.
        images: calibration images for ``static``, uint8 [N, 3, S, S].

    Raises:
        InputError: there is no matrix product for dynamic quantization besides the heads.
    """
    import onnx
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_dynamic, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory() as folder, _silent():
        prepared, quantized = Path(folder) / "prepared.onnx", Path(folder) / "quantized.onnx"
        quant_pre_process(path, prepared, skip_symbolic_shape=True)
        heads = _head_nodes(onnx.load(prepared))
        if static:
            assert images is not None
            quantize_static(
                prepared,
                quantized,
                _CalibrationData(images),  # pyright: ignore[reportArgumentType]
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                op_types_to_quantize=["MatMul", "Gemm", "Conv"],
                nodes_to_exclude=heads,
                weight_type=QuantType.QInt8,
                activation_type=QuantType.QUInt8,
            )
        else:
            quantize_dynamic(
                prepared,
                quantized,
                per_channel=True,
                op_types_to_quantize=["MatMul", "Gemm"],
                nodes_to_exclude=heads,
                weight_type=QuantType.QInt8,
            )
            if all(node.op_type != "DynamicQuantizeLinear" for node in onnx.load(quantized).graph.node):
                raise InputError(
                    "--int8 dynamic quantizes matrix products, and the encoder of this model has none; for "
                    "convolutions, use --int8 static"
                )
        path.write_bytes(quantized.read_bytes())


def _head_nodes(model: Any) -> list[str]:
    """Return the names of the nodes that compute the last matrix product before each output."""
    producers = {name: node for node in model.graph.node for name in node.output}
    found = []
    for output in model.graph.output:
        node = producers.get(output.name)
        while node is not None and node.op_type not in ("MatMul", "Gemm"):
            node = producers.get(node.input[0]) if len(node.input) else None
        if node is not None:
            # Dynamic quantization first replaces a Gemm by a MatMul of this name and an addition.
            found += [node.name, f"{node.name}_MatMul"]
    return found


class _CalibrationData:
    """Batches of images in the form of an ONNX Runtime calibration data reader."""

    def __init__(self, images: np.ndarray) -> None:
        self._batches: Iterator[np.ndarray] = (
            np.asarray(images[start : start + _CALIBRATION_BATCH]).astype(np.float32) / 255
            for start in range(0, len(images), _CALIBRATION_BATCH)
        )

    def get_next(self) -> dict[str, np.ndarray] | None:
        batch = next(self._batches, None)
        return None if batch is None else {INPUT: batch}


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    with contextlib.redirect_stdout(io.StringIO()):
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)
