"""8-bit integers in an ONNX file, by ONNX Runtime's own tools."""

import contextlib
import io
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from auxface.inference.onnx import INPUT

_BATCH = 16


def quantise(path: Path, *, static: bool, pictures: np.ndarray | None = None) -> None:
    """Replace an ONNX file by its 8-bit form.

    Matrix products (static: convolutions too) become integer, per channel, so that one large weight does not coarsen
    the others. The heads stay float: they are small, and scores are read off them.

    Args:
        path: the file, read and replaced.
        static: ranges of activations are found on pictures, in place of at run time.
        pictures: uint8 [N, 3, S, S], for ``static``.
    """
    import onnx
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_dynamic, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory() as folder, _quiet():
        ready, done = Path(folder) / "ready.onnx", Path(folder) / "done.onnx"
        quant_pre_process(path, ready, skip_symbolic_shape=True)
        heads = _heads(onnx.load(ready))
        if static:
            assert pictures is not None
            quantize_static(
                ready,
                done,
                _Batches(pictures),  # pyright: ignore[reportArgumentType]
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                op_types_to_quantize=["MatMul", "Gemm", "Conv"],
                nodes_to_exclude=heads,
                weight_type=QuantType.QInt8,
                activation_type=QuantType.QUInt8,
            )
        else:
            quantize_dynamic(
                ready,
                done,
                per_channel=True,
                op_types_to_quantize=["MatMul", "Gemm"],
                nodes_to_exclude=heads,
                weight_type=QuantType.QInt8,
            )
        path.write_bytes(done.read_bytes())


def _heads(model: object) -> list[str]:
    """Names of the last matrix products before each output."""
    graph = model.graph  # pyright: ignore[reportAttributeAccessIssue]
    makers = {name: node for node in graph.node for name in node.output}
    found = []
    for output in graph.output:
        node = makers.get(output.name)
        while node is not None and node.op_type not in ("MatMul", "Gemm"):
            node = makers.get(node.input[0]) if len(node.input) else None
        if node is not None:
            found.append(node.name)
    return found


class _Batches:
    def __init__(self, pictures: np.ndarray) -> None:
        self._parts: Iterator[np.ndarray] = (
            np.asarray(pictures[at : at + _BATCH]).astype(np.float32) / 255 for at in range(0, len(pictures), _BATCH)
        )

    def get_next(self) -> dict[str, np.ndarray] | None:
        part = next(self._parts, None)
        return None if part is None else {INPUT: part}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with contextlib.redirect_stdout(io.StringIO()):
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)
