"""Run ONNX files that auxface did not export, and evaluate them like auxface models.

The preprocessing is read from the metadata of the file if present, otherwise from the recipe of a model directory with
the same tasks.

Example::

    model = open_onnx(Path("other.onnx"), reference=saved.config)
    model.score_images(images)    # logits per task
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from auxface.errors import InputError
from auxface.inference.onnx_model import LOGITS, METADATA, OnnxModel, open_session
from auxface.model.config import ModelConfig, TaskRecord

_SCORES = "scores."
_DTYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
_EPSILON = 1e-7
_SUM_TOLERANCE = 1e-3


def open_onnx(path: Path, reference: ModelConfig | None, device: str = "auto") -> "OnnxModel | ExternalOnnx":
    """Open an ONNX file, whether auxface exported it or not.

    Args:
        path: path of the ONNX file.
        reference: configuration of a model with the same tasks; required for a file that auxface did not export.
        device: ``cuda`` selects the CUDA provider, any other value the CPU provider.

    Raises:
        InputError: the file cannot be run; or auxface did not export it, and ``reference`` is missing or does not match
            the file.
    """
    session = open_session(Path(path), device)
    if METADATA in session.get_modelmeta().custom_metadata_map:
        return OnnxModel(path, device)
    if reference is None:
        raise InputError(
            f"{path}: auxface did not export this file, so its tasks are unknown; also name a model directory with "
            "the same tasks"
        )
    return ExternalOnnx(Path(path), session, reference)


class ExternalOnnx:
    """An ONNX file from another program that computes logits for images.

    The file has one input, float [N, 3, S, S] or [N, S, S, 3]. For each supported task of the reference, it has an
    output named after the task (``TASK``, ``logits.TASK`` or ``scores.TASK``); a single output may have any name if
    the reference has a single task. An output has one value per class (for a binary task, one or two), either logits or
    probabilities. The values are treated as probabilities if all values for the images that are scored first lie in [0,
    1] and, for a single-label task, sum to 1.

    Images are RGB in [0, 1], normalized with ``mean`` and ``std`` (JSON lists of three numbers) from the metadata of
    the file if present, otherwise from the reference recipe. ``classes`` in the metadata (a JSON list) gives the order
    of the outputs.

    Args:
        path: path of the file, for error messages.
        session: ONNX Runtime session; see :func:`auxface.inference.onnx_model.open_session`.
        reference: configuration of a model with the same tasks.

    Attributes:
        config: configuration of the reference, restricted to the tasks found and without thresholds or calibration.
        size: side length of the images in pixels.
        mean: mean of each channel for normalization, float32 [3].
        std: standard deviation of each channel for normalization, float32 [3].

    Raises:
        InputError: the inputs or outputs do not match the reference.
    """

    def __init__(self, path: Path, session: Any, reference: ModelConfig) -> None:
        self.path, self.session = path, session
        metadata = session.get_modelmeta().custom_metadata_map
        encoder = reference.recipe.encoder
        self._input, self._channels_last, size, self._fixed_batch = _find_input(path, session, encoder.image_size)
        self.mean = _read_normalization(path, metadata, "mean", encoder.mean)
        self.std = _read_normalization(path, metadata, "std", encoder.std)
        self._outputs = _match_outputs(path, session, reference)
        self._order = _class_orders(path, metadata, [task for task, _ in self._outputs])
        self._probabilities: dict[str, bool] = {}
        self.size = size
        recipe = reference.recipe.model_copy(update={"encoder": encoder.model_copy(update={"image_size": size})})
        tasks = tuple(
            TaskRecord(name=task.name, kind=task.kind, classes=task.classes, weight=task.weight)
            for task, _ in self._outputs
        )
        self.config = ModelConfig(recipe=recipe, tasks=tasks, crop=reference.crop)
        # Check the shapes before thousands of images are read.
        self.score_images(np.zeros((1, 3, size, size), np.uint8))
        self._probabilities = {}

    def score_images(
        self,
        images: np.ndarray,
        *,
        batch_size: int = 64,
        transform: Callable[[torch.Tensor, int], torch.Tensor] | None = None,
        advance: Callable[[int], None] | None = None,
    ) -> dict[str, np.ndarray]:
        """Return the logits of each task, float32 [N, outputs], as :func:`auxface.model.scoring.score_images` does.

        Raises:
            InputError: the model cannot be run on these images, or an output has the wrong number of values.
        """
        step = self._fixed_batch or batch_size
        collected: dict[str, list[np.ndarray]] = {task.name: [] for task, _ in self._outputs}
        for start in range(0, len(images), step):
            batch = np.asarray(images[start : start + step])
            if transform is not None:
                batch = transform(torch.from_numpy(np.array(batch)), start).numpy()
            # If the batch size is fixed, the last batch is padded with copies of its first image.
            padding = batch[:1].repeat(step - len(batch), axis=0) if self._fixed_batch else batch[:0]
            padded = np.concatenate([batch, padding]) if self._fixed_batch else batch
            for (task, _), output in zip(self._outputs, self._run(padded), strict=True):
                collected[task.name].append(self._class_columns(task, output, len(padded))[: len(batch)])
            if advance is not None:
                advance(len(batch))
        return {task.name: self._to_logits(task, collected[task.name]) for task, _ in self._outputs}

    def _run(self, batch: np.ndarray) -> list[np.ndarray]:
        shape = (1, 3, 1, 1)
        values = (batch.astype(np.float32) / 255 - self.mean.reshape(shape)) / self.std.reshape(shape)
        values = np.ascontiguousarray(values.transpose(0, 2, 3, 1) if self._channels_last else values)
        feed = {self._input.name: values.astype(_DTYPES[self._input.type])}
        try:
            return self.session.run([name for _, name in self._outputs], feed)
        # ONNX Runtime's exceptions have no common base class other than Exception.
        except Exception as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
            raise InputError(
                f"{self.path}: the model fails on images of shape {list(values.shape)} ({reason})"
            ) from None

    def _class_columns(self, task: TaskRecord, output: np.ndarray, rows: int) -> np.ndarray:
        """Return an output as float32 [rows, classes], in the order of the task's classes."""
        values = np.asarray(output, dtype=np.float32).reshape(rows, -1) if np.size(output) % rows == 0 else None
        expected = (1, 2) if task.kind == "binary" else (len(task.classes),)
        if values is None or values.shape[1] not in expected:
            shape = list(np.shape(output))
            raise InputError(
                f"{self.path}: the output for '{task.name}' has shape {shape}; expected "
                f"{' or '.join(str(count) for count in expected)} values per image ({', '.join(task.classes)})"
            )
        if not np.isfinite(values).all():
            raise InputError(f"{self.path}: the output for '{task.name}' has values that are not finite")
        order = self._order.get(task.name, [])
        return values[:, order] if len(order) == values.shape[1] else values

    def _to_logits(self, task: TaskRecord, parts: list[np.ndarray]) -> np.ndarray:
        if not parts:
            return np.zeros((0, task.learned_task().outputs), np.float32)
        values = np.concatenate(parts)
        # Whether outputs are probabilities is decided once, on the clean images, which are scored first.
        if self._probabilities.setdefault(task.name, _are_probabilities(task, values)):
            clipped = np.clip(values, _EPSILON, 1 - _EPSILON)
            single = task.kind == "multilabel" or values.shape[1] == 1
            values = np.log(clipped / (1 - clipped)) if single else np.log(clipped)
        if task.kind == "binary" and values.shape[1] == 2:
            values = values[:, 1:] - values[:, :1]
        elif task.kind == "binary" and self._order.get(task.name) == [1, 0]:
            values = -values
        return values.astype(np.float32)


def _are_probabilities(task: TaskRecord, values: np.ndarray) -> bool:
    if values.min() < 0 or values.max() > 1:
        return False
    if task.kind == "multilabel" or values.shape[1] == 1:
        return True
    return bool(np.abs(values.sum(axis=1) - 1).max() <= _SUM_TOLERANCE)


def _find_input(path: Path, session: Any, default_size: int) -> tuple[Any, bool, int, int | None]:
    """Return the input, whether its channels come last, the image side length, and the batch size if it is fixed."""
    inputs = session.get_inputs()
    if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].type not in _DTYPES:
        found = ", ".join(f"{one.name} {one.type} {one.shape}" for one in inputs) or "none"
        raise InputError(f"{path}: expected one input, float [N, 3, S, S] or [N, S, S, 3]; found {found}")
    batch, *sides = inputs[0].shape
    if 3 not in (sides[0], sides[2]):
        raise InputError(f"{path}: expected an input [N, 3, S, S] or [N, S, S, 3]; found {inputs[0].shape}")
    channels_last = sides[0] != 3
    height, width = sides[:2] if channels_last else sides[1:]
    known = {side for side in (height, width) if isinstance(side, int)}
    if len(known) > 1:
        raise InputError(f"{path}: the model takes {height} x {width} images; expected square images")
    size = known.pop() if known else default_size
    if not 16 <= size <= 1024:
        raise InputError(f"{path}: the model takes images with a side of {size} pixels; expected 16 to 1024")
    return inputs[0], channels_last, size, batch if isinstance(batch, int) and batch > 0 else None


def _match_outputs(path: Path, session: Any, reference: ModelConfig) -> list[tuple[TaskRecord, str]]:
    """Return the tasks for which the file has an output, each with the name of the output."""
    names = [output.name for output in session.get_outputs()]
    tasks = [task for task in reference.tasks if task.kind != "ordinal"]
    matched = [
        (task, next(name for name in (task.name, LOGITS + task.name, _SCORES + task.name) if name in names))
        for task in tasks
        if {task.name, LOGITS + task.name, _SCORES + task.name} & set(names)
    ]
    if not matched and len(tasks) == 1 and len(names) == 1:
        matched = [(tasks[0], names[0])]
    if not matched:
        raise InputError(
            f"{path}: its outputs are named {', '.join(names)}; name each output after its task "
            f"({', '.join(task.name for task in tasks) or 'the reference has only ordinal tasks'})"
        )
    return matched


def _class_orders(path: Path, metadata: dict[str, str], tasks: list[TaskRecord]) -> dict[str, list[int]]:
    """Return the output index of each class, for the tasks whose classes match ``classes`` in the metadata."""
    if "classes" not in metadata:
        return {}
    try:
        content = json.loads(metadata["classes"])
        names = [str(name) for name in (content.values() if isinstance(content, dict) else content)]
    except (ValueError, TypeError):
        raise InputError(f"{path}: 'classes' in its metadata must be a JSON list of names") from None
    fitting = [task for task in tasks if set(names) == set(task.classes) and len(names) == len(task.classes)]
    if not fitting:
        raise InputError(
            f"{path}: its classes are {', '.join(names)[:300]}; the task '{tasks[0].name}' has "
            f"{', '.join(tasks[0].classes)[:300]}"
        )
    return {task.name: [names.index(name) for name in task.classes] for task in fitting}


def _read_normalization(
    path: Path, metadata: dict[str, str], key: str, default: tuple[float, float, float]
) -> np.ndarray:
    if key not in metadata:
        return np.array(default, dtype=np.float32)
    try:
        values = np.array(json.loads(metadata[key]), dtype=np.float32)
    except (ValueError, TypeError):
        values = np.zeros(0)
    if values.shape != (3,) or not np.isfinite(values).all() or (key == "std" and (values <= 0).any()):
        raise InputError(f"{path}: '{key}' in its metadata must be a JSON list of three numbers")
    return values
