"""8-bit quantization of an ONNX file, with ONNX Runtime's own tools.

quantize(Path("x.onnx"), static=True, images=images)
"""

import contextlib
import io
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from auxface.inference.onnx_model import INPUT

_BATCH = 16


def quantize(path: Path, *, static: bool, images: np.ndarray | None = None) -> None:
    """Replace an ONNX file by its 8-bit quantization.

    Matrix products (with ``static``, convolutions too) are quantized per channel, so that one large weight does not
    coarsen the others. The heads stay in floating point: they are small, and the scores are their outputs.

    Args:
        path: The file, which is read and replaced.
        static: Whether the ranges of activations are measured on images in advance, rather than at run time.
        images: uint8 [N, 3, S, S], for ``static``.
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
        path.write_bytes(quantized.read_bytes())


def _head_nodes(model: Any) -> list[str]:
    """Return the names of the last matrix product before each output."""
    producers = {name: node for node in model.graph.node for name in node.output}
    found = []
    for output in model.graph.output:
        node = producers.get(output.name)
        while node is not None and node.op_type not in ("MatMul", "Gemm"):
            node = producers.get(node.input[0]) if len(node.input) else None
        if node is not None:
            found.append(node.name)
    return found


class _CalibrationData:
    """Images in batches, in the form that ONNX Runtime reads calibration data."""

    def __init__(self, images: np.ndarray) -> None:
        self._batches: Iterator[np.ndarray] = (
            np.asarray(images[start : start + _BATCH]).astype(np.float32) / 255
            for start in range(0, len(images), _BATCH)
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
