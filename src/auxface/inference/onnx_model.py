"""A model exported to ONNX by ``auxface export``, run by ONNX Runtime.

model = OnnxModel(Path("x.onnx"))
model.score_images(images)    # logits per task
"""

import json
from collections.abc import Callable
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
    """An exported model that returns logits for images.

    Args:
        path: An ``.onnx`` file that ``auxface export`` wrote.
        device: ``cuda`` for the CUDA provider; any other value for the CPU provider.
        threads: Threads of one run; 0: as many as torch uses.

    Attributes:
        config: The configuration in the file's metadata, as in a model directory.
        session: The ONNX Runtime session.
        one_by_one: Whether every image is run alone, because the quantization depends on the batch.
        batch_size: The batch size with the highest throughput.

    Raises:
        InputError: The file does not exist or was not exported by auxface, or ONNX Runtime is not installed or cannot
            run it.
    """

    def __init__(self, path: Path, device: str = "auto", *, threads: int = 0) -> None:
        path = Path(path)
        self.session = open_session(path, device, threads=threads)
        self.config, int8 = _read_metadata(self.session.get_modelmeta().custom_metadata_map, path)
        provider = "cuda" if "CUDAExecutionProvider" in self.session.get_providers() else "cpu"
        # Dynamic quantization takes its range from the whole batch, so that one image would change another's scores.
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
        """Return logits per task, float32 [N, outputs], as :func:`auxface.model.scoring.score_images` does.

        Args:
            images: uint8 [N, 3, S, S] at the model's input size.
            batch_size: Images per batch; by default :attr:`batch_size`. Ignored if images are run one by one.
            transform: Applied to a uint8 batch, with the index of its first image, before it is scored.
            advance: Called with the number of images done.
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
    """Return an ONNX Runtime session of a file; the arguments are those of :class:`OnnxModel`.

    Raises:
        InputError: The file does not exist, is too large or cannot be run, or ONNX Runtime is not installed.
    """
    runtime = import_onnxruntime()
    if not path.is_file():
        raise InputError(f"{path}: no such file; export one with 'auxface export MODEL --format onnx -o {path}'")
    if path.stat().st_size > _MAX_BYTES:
        raise InputError(f"{path}: the file is larger than {_MAX_BYTES >> 30} GiB")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads or torch.get_num_threads()
    options.log_severity_level = 3
    # Spinning threads would take cores from decoding and from other programs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    names = ["CUDAExecutionProvider", "CPUExecutionProvider"] if device == "cuda" else ["CPUExecutionProvider"]
    providers = [name for name in names if name in runtime.get_available_providers()]
    try:
        # From bytes, so that the file cannot refer to other files for its weights.
        return runtime.InferenceSession(path.read_bytes(), options, providers=providers)
    # ONNX Runtime's exceptions have no common base class but Exception.
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise InputError(f"{path}: ONNX Runtime cannot run this file ({reason})") from None


def import_onnxruntime() -> Any:
    """Return the module ``onnxruntime``.

    Raises:
        InputError: It is not installed.
    """
    try:
        import onnxruntime
    except ImportError:
        raise InputError("ONNX Runtime is not installed; pip install 'auxface[export]'") from None
    return onnxruntime


def _read_metadata(metadata: dict[str, str], path: Path) -> tuple[ModelConfig, str]:
    """Return the configuration in a file's metadata, and its quantization: ``none``, ``dynamic`` or ``static``."""
    if METADATA not in metadata:
        raise InputError(f"{path}: this ONNX file was not exported by auxface (no '{METADATA}' in its metadata)")
    try:
        content: Any = json.loads(metadata[METADATA])
        return ModelConfig.model_validate_json(json.dumps(content["config"])), str(content.get("int8", "none"))
    except (ValidationError, ValueError, KeyError, TypeError, RecursionError):
        raise InputError(
            f"{path}: its metadata is not a valid model configuration of this version; export the model again"
        ) from None
