"""A model exported to ONNX: read, checked and run by ONNX Runtime, with the same face as a model directory's.

8-bit integers in an ONNX file, by ONNX Runtime's own tools.
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


class OnnxModel:
    """Answers with logits for images, by ONNX Runtime.

    Args:
        path: of an ``.onnx`` file that ``auxface export`` wrote.
        device: ``cuda`` for the CUDA provider; otherwise the processor.
        threads: of one run; 0: as many as torch uses.

    Attributes:
        config: as the model directory's, from the file's metadata.
        session: the ONNX Runtime session.
        one_by_one: whether every image is run alone, since the file's integers depend on the batch.
        batch_size: images at a time that it answers fastest.

    Raises:
        InputError: no such file, not one of ours, or ONNX Runtime is not installed or cannot run it.
    """

    def __init__(self, path: Path, device: str = "auto", *, threads: int = 0) -> None:
        path = Path(path)
        self.session = open_session(path, device, threads=threads)
        self.config, int8 = _metadata(self.session.get_modelmeta().custom_metadata_map, path)
        where = "cuda" if "CUDAExecutionProvider" in self.session.get_providers() else "cpu"
        # Integers made at run time span the range of the whole batch, so one image would change another's scores.
        self.one_by_one = int8 == "dynamic"
        self.batch_size = 1 if self.one_by_one else suitable_batch(where, self.config.recipe.encoder.image_size)
        names = {output.name for output in self.session.get_outputs()}
        missing = [task.name for task in self.config.tasks if LOGITS + task.name not in names]
        if missing or [one.name for one in self.session.get_inputs()] != [INPUT]:
            raise InputError(f"{path}: its inputs and outputs are not those of its metadata")

    def score_images(
        self,
        images: np.ndarray,
        *,
        batch_size: int | None = None,
        transform: Callable[[torch.Tensor, int], torch.Tensor] | None = None,
        advance: Callable[[int], None] | None = None,
    ) -> dict[str, np.ndarray]:
        """Logits per task, float32 [N, outputs]; the arguments of :func:`auxface.model.scoring.score_images`.

        Args:
            images: uint8 [N, 3, S, S] at the model's input size.
            batch_size: images at a time; None: as many as suit. A file that is run one by one ignores it.
            transform: changes a uint8 batch before it is scored; also gets the number of its first image.
            advance: told how many images were done.
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
            return {task.name: np.zeros((0, task.task().outputs), np.float32) for task in self.config.tasks}
        return {
            task.name: np.concatenate(parts) for task, parts in zip(self.config.tasks, zip(*collected), strict=True)
        }


def open_session(path: Path, device: str = "auto", *, threads: int = 0) -> Any:
    """An ONNX Runtime session of a file; the arguments of :class:`OnnxModel`.

    Raises:
        InputError: no such file, one that is too large or cannot be run, or ONNX Runtime is not installed.
    """
    runtime = need_onnxruntime()
    if not path.is_file():
        raise InputError(f"{path}: no such file; export one with 'auxface export MODEL --format onnx -o {path}'")
    if path.stat().st_size > _MAX_BYTES:
        raise InputError(f"{path}: larger than {_MAX_BYTES >> 30} GiB")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads or torch.get_num_threads()
    options.log_severity_level = 3
    # Threads that spin while they wait take the cores from decoding, and from whoever shares the machine.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    wanted = ["CUDAExecutionProvider", "CPUExecutionProvider"] if device == "cuda" else ["CPUExecutionProvider"]
    providers = [name for name in wanted if name in runtime.get_available_providers()]
    try:
        # Bytes, so that the file cannot point at others for its weights.
        return runtime.InferenceSession(path.read_bytes(), options, providers=providers)
    # Its own exceptions have no common ancestor but this.
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise InputError(f"{path}: not a file that ONNX Runtime can run ({reason})") from None


def _metadata(metadata: dict[str, str], path: Path) -> tuple[ModelConfig, str]:
    """The configuration in a file's metadata, and how its weights were turned into integers: ``none`` where not."""
    if METADATA not in metadata:
        raise InputError(f"{path}: an ONNX file, but not one that auxface exported (no '{METADATA}' in its metadata)")
    try:
        held: Any = json.loads(metadata[METADATA])
        return ModelConfig.model_validate_json(json.dumps(held["config"])), str(held.get("int8", "none"))
    except (ValidationError, ValueError, KeyError, TypeError, RecursionError):
        raise InputError(f"{path}: its metadata is not a model's configuration of this version") from None


def need_onnxruntime() -> Any:
    """The runtime, or the sentence that says how to install it."""
    try:
        import onnxruntime
    except ImportError:
        raise InputError("ONNX Runtime is not installed; pip install 'auxface[export]'") from None
    return onnxruntime


_BATCH = 16


def quantize(path: Path, *, static: bool, images: np.ndarray | None = None) -> None:
    """Replace an ONNX file by its 8-bit form.

    Matrix products (static: convolutions too) become integer, per channel, so that one large weight does not coarsen
    the others. The heads stay float: they are small, and scores are read off them.

    Args:
        path: the file, read and replaced.
        static: ranges of activations are found on images, in place of at run time.
        images: uint8 [N, 3, S, S], for ``static``.
    """
    import onnx
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_dynamic, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory() as folder, _quiet():
        ready, done = Path(folder) / "ready.onnx", Path(folder) / "done.onnx"
        quant_pre_process(path, ready, skip_symbolic_shape=True)
        heads = _heads(onnx.load(ready))
        if static:
            assert images is not None
            quantize_static(
                ready,
                done,
                _Batches(images),  # pyright: ignore[reportArgumentType]
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
    def __init__(self, images: np.ndarray) -> None:
        self._parts: Iterator[np.ndarray] = (
            np.asarray(images[at : at + _BATCH]).astype(np.float32) / 255 for at in range(0, len(images), _BATCH)
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
