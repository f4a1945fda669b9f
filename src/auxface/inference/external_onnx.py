"""Somebody else's ONNX file, measured as if it were ours: preprocessing from its metadata, else from a recipe."""

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
_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
_TINY = 1e-7
_SUM_TOLERANCE = 1e-3


def open_onnx(path: Path, reference: ModelConfig | None, device: str = "auto") -> "OnnxModel | ForeignOnnx":
    """An ONNX file as something that gives logits: one that auxface exported, or any other.

    Raises:
        InputError: as the two classes; a foreign file without a ``reference``.
    """
    session = open_session(Path(path), device)
    if METADATA in session.get_modelmeta().custom_metadata_map:
        return OnnxModel(path, device)
    if reference is None:
        raise InputError(
            f"{path}: not exported by auxface, so that it does not say what it learned; name a model directory of the "
            "same tasks beside it"
        )
    return ForeignOnnx(Path(path), session, reference)


class ForeignOnnx:
    """Answers with logits for images.

    The file has one input, float [N, 3, S, S] or [N, S, S, 3], and an output per task of the reference that it can do:
    one that is named after the task (or ``logits.TASK``, ``scores.TASK``), or the only output where there is only one
    task. An output has a number per class (a binary task: one or two) and may be logits or probabilities: if all of
    the first images' numbers lie in [0, 1] (and of a choice add up to 1), they are probabilities.

    Images are RGB in [0, 1], normalized with ``mean`` and ``std`` (JSON lists of three) of the file's metadata, else
    with the reference recipe's. ``classes`` in the metadata (a JSON list) says the order of the outputs.

    Args:
        path: of the file, for messages.
        session: see :func:`auxface.inference.onnx_model.open_session`.
        reference: of a model of the same tasks.

    Attributes:
        config: the reference's, for the tasks found, without what was learned about another model's scores.
        size: side of the images.
        mean: float32 [3].
        std: float32 [3].

    Raises:
        InputError: inputs or outputs that do not fit, with what was expected.
    """

    def __init__(self, path: Path, session: Any, reference: ModelConfig) -> None:
        self.path, self.session = path, session
        metadata = session.get_modelmeta().custom_metadata_map
        encoder = reference.recipe.encoder
        self._input, self._channels_last, size, self._fixed = _input(path, session, encoder.image_size)
        self.mean = _three(path, metadata, "mean", encoder.mean)
        self.std = _three(path, metadata, "std", encoder.std)
        self._outputs = _matched(path, session, reference)
        self._order = _orders(path, metadata, [task for task, _ in self._outputs])
        self._probabilities: dict[str, bool] = {}
        self.size = size
        recipe = reference.recipe.model_copy(update={"encoder": encoder.model_copy(update={"image_size": size})})
        tasks = tuple(
            TaskRecord(name=task.name, kind=task.kind, classes=task.classes, weight=task.weight)
            for task, _ in self._outputs
        )
        self.config = ModelConfig(recipe=recipe, tasks=tasks, crop=reference.crop)
        # A first image shows whether the shapes fit, before thousands are read.
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
        """Logits per task, float32 [N, outputs]; the arguments of :func:`auxface.model.scoring.score_images`.

        Raises:
            InputError: the file fails on these images, or gives another number of outputs than it should.
        """
        step = self._fixed or batch_size
        collected: dict[str, list[np.ndarray]] = {task.name: [] for task, _ in self._outputs}
        for start in range(0, len(images), step):
            batch = np.asarray(images[start : start + step])
            if transform is not None:
                batch = transform(torch.from_numpy(np.array(batch)), start).numpy()
            # A file may take a fixed number of images; the last are then filled up with copies of one.
            filled = np.concatenate([batch, batch[:1].repeat(step - len(batch), axis=0)]) if self._fixed else batch
            for (task, _), output in zip(self._outputs, self._run(filled), strict=True):
                collected[task.name].append(self._columns(task, output, len(filled))[: len(batch)])
            if advance is not None:
                advance(len(batch))
        return {task.name: self._as_logits(task, collected[task.name]) for task, _ in self._outputs}

    def _run(self, batch: np.ndarray) -> list[np.ndarray]:
        shape = (1, 3, 1, 1)
        seen = (batch.astype(np.float32) / 255 - self.mean.reshape(shape)) / self.std.reshape(shape)
        seen = np.ascontiguousarray(seen.transpose(0, 2, 3, 1) if self._channels_last else seen)
        given = {self._input.name: seen.astype(_TYPES[self._input.type])}
        try:
            return self.session.run([name for _, name in self._outputs], given)
        # ONNX Runtime's exceptions have no common ancestor but this.
        except Exception as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
            raise InputError(f"{self.path}: fails on images of shape {list(seen.shape)} ({reason})") from None

    def _columns(self, task: TaskRecord, output: np.ndarray, rows: int) -> np.ndarray:
        found = np.asarray(output, dtype=np.float32).reshape(rows, -1) if np.size(output) % rows == 0 else None
        wanted = (1, 2) if task.kind == "binary" else (len(task.classes),)
        if found is None or found.shape[1] not in wanted:
            shape = list(np.shape(output))
            raise InputError(
                f"{self.path}: the output for '{task.name}' has shape {shape}; expected "
                f"{' or '.join(str(count) for count in wanted)} numbers an image ({', '.join(task.classes)})"
            )
        if not np.isfinite(found).all():
            raise InputError(f"{self.path}: the output for '{task.name}' holds numbers that are not finite")
        order = self._order.get(task.name, [])
        return found[:, order] if len(order) == found.shape[1] else found

    def _as_logits(self, task: TaskRecord, parts: list[np.ndarray]) -> np.ndarray:
        if not parts:
            return np.zeros((0, task.task().outputs), np.float32)
        values = np.concatenate(parts)
        # Decided on undamaged images, which are scored first, and kept.
        given = self._probabilities.setdefault(task.name, _are_probabilities(task, values))
        if given:
            clipped = np.clip(values, _TINY, 1 - _TINY)
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


def _input(path: Path, session: Any, wanted: int) -> tuple[Any, bool, int, int | None]:
    """The input, whether channels come last, the side of its images, and how many it takes if that is fixed."""
    inputs = session.get_inputs()
    if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].type not in _TYPES:
        found = ", ".join(f"{one.name} {one.type} {one.shape}" for one in inputs) or "none"
        raise InputError(f"{path}: expected one input of images, float [N, 3, S, S] or [N, S, S, 3]; found {found}")
    batch, *sides = inputs[0].shape
    if 3 not in (sides[0], sides[2]):
        raise InputError(f"{path}: expected an input [N, 3, S, S] or [N, S, S, 3]; found {inputs[0].shape}")
    last = sides[0] != 3
    height, width = sides[:2] if last else sides[1:]
    known = {side for side in (height, width) if isinstance(side, int)}
    if len(known) > 1:
        raise InputError(f"{path}: its images are {height} by {width}; only squares are cut here")
    size = known.pop() if known else wanted
    if not 16 <= size <= 1024:
        raise InputError(f"{path}: its images have {size} pixels a side; expected 16 to 1024")
    return inputs[0], last, size, batch if isinstance(batch, int) and batch > 0 else None


def _matched(path: Path, session: Any, reference: ModelConfig) -> list[tuple[TaskRecord, str]]:
    names = [output.name for output in session.get_outputs()]
    known = [task for task in reference.tasks if task.kind != "ordinal"]
    found = [
        (task, next(name for name in (task.name, LOGITS + task.name, _SCORES + task.name) if name in names))
        for task in known
        if {task.name, LOGITS + task.name, _SCORES + task.name} & set(names)
    ]
    if not found and len(known) == 1 and len(names) == 1:
        found = [(known[0], names[0])]
    if not found:
        raise InputError(
            f"{path}: its outputs are called {', '.join(names)}; name each after its task "
            f"({', '.join(task.name for task in known) or 'none that a file can answer'})"
        )
    return found


def _orders(path: Path, metadata: dict[str, str], tasks: list[TaskRecord]) -> dict[str, list[int]]:
    """Places of the outputs in the order of our classes, where the file says its own order."""
    if "classes" not in metadata:
        return {}
    try:
        said = json.loads(metadata["classes"])
        names = [str(name) for name in (said.values() if isinstance(said, dict) else said)]
    except (ValueError, TypeError):
        raise InputError(f"{path}: 'classes' in its metadata must be a JSON list of names") from None
    fitting = [task for task in tasks if set(names) == set(task.classes) and len(names) == len(task.classes)]
    if not fitting:
        raise InputError(
            f"{path}: its classes are {', '.join(names)[:300]}; the task '{tasks[0].name}' has "
            f"{', '.join(tasks[0].classes)[:300]}"
        )
    return {task.name: [names.index(name) for name in task.classes] for task in fitting}


def _three(path: Path, metadata: dict[str, str], key: str, otherwise: tuple[float, float, float]) -> np.ndarray:
    if key not in metadata:
        return np.array(otherwise, dtype=np.float32)
    try:
        values = np.array(json.loads(metadata[key]), dtype=np.float32)
    except (ValueError, TypeError):
        values = np.zeros(0)
    if values.shape != (3,) or not np.isfinite(values).all() or (key == "std" and (values <= 0).any()):
        raise InputError(f"{path}: '{key}' in its metadata must be a JSON list of three numbers")
    return values
