"""Explain a model's predictions for the faces in one image, using saliency maps and reconstruction errors.

Example::

    [explanation] = explain_image(predictor, "photo.jpg")
    explanation.gradients, explanation.reconstructions[0].error

:func:`explain` writes the explanations for an image file to a PNG file.

:func:`explanation_figure` draws the heat maps of several faces into one PNG::

    png = explanation_figure(explain_image(predictor, "photo.jpg"))
"""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch

from auxface.atomic import atomic_file, refuse_existing
from auxface.data.faces.detection import DetectorName
from auxface.device import check_device
from auxface.errors import InputError
from auxface.inference.answers import Answer, Face
from auxface.inference.predict import print_note
from auxface.inference.predictor import Predictor, TorchScorer
from auxface.inference.preprocessing import FacesMode, ImageInput
from auxface.inference.reconstruction_error import reconstruction_errors
from auxface.inference.saliency import attention_rollout, input_gradients
from auxface.model.config import TaskRecord
from auxface.model.scoring import full_precision

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


_MAX_FACES = 6
_MAX_BARS = 8
_TEXT, _MUTED, _ACCENT, _BAR = "#1d1f22", "#63676d", "#0b5c8c", "#b9c3cb"


@dataclass(frozen=True)
class ReconstructionMap:
    """One reconstruction target of a face, its reconstruction, and the error of each patch.

    Attributes:
        name: ``rgb`` or the name of a texture descriptor.
        target: reconstruction target as an image, uint8 [S, S, 3].
        reconstruction: reconstruction as an image, uint8 [S, S, 3], where each patch was reconstructed while hidden.
        error: error of each patch in ``unit``, float32 [rows, columns].
        unit: unit of the error.
    """

    name: str
    target: np.ndarray
    reconstruction: np.ndarray
    error: np.ndarray
    unit: str


@dataclass(frozen=True)
class Explanation:
    """The explanation of one face for one task.

    Attributes:
        face: box and answers of the face.
        image: face crop, which is the input of the model, uint8 [S, S, 3].
        task: name of the task whose prediction the gradients explain.
        output: name of the class whose logit is differentiated.
        attention: attention rollout, float32 [rows, columns], summing to 1; None for encoders without attention over
            patches.
        gradients: SmoothGrad map, float32 [rows, columns], summing to 1.
        reconstructions: one reconstruction map per target of the auxiliary task; empty for a model without
            reconstruction.
    """

    face: Face
    image: np.ndarray
    task: str
    output: str
    attention: np.ndarray | None
    gradients: np.ndarray
    reconstructions: tuple[ReconstructionMap, ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        """Return the box, answers and maps as JSON-compatible data, without images."""
        return {
            "face": self.face.to_dict(),
            "task": self.task,
            "output": self.output,
            "attention": None if self.attention is None else self.attention.tolist(),
            "gradients": self.gradients.tolist(),
            "reconstruction_error": {
                one.name: {"unit": one.unit, "patches": one.error.tolist()} for one in self.reconstructions
            },
        }


def explain(
    model: str | Path,
    image: Path,
    out: Path,
    *,
    task: str | None = None,
    face: int | None = None,
    faces: FacesMode = "auto",
    detector: DetectorName | None = None,
    weights: Path | None = None,
    device: str = "auto",
    overwrite: bool = False,
) -> list[Explanation]:
    """Explain the predictions for each face in an image (at most six faces) and write the explanations to a PNG file.

    Args:
        model: path of a model directory, or a Hub name.
        image: path of the image.
        out: path of the PNG file to write.
        task: name of the task to explain; by default the first task.
        face: index of a single face to explain, counted from 0; by default all faces are explained.
        faces: see :class:`auxface.Predictor`.
        detector: see :class:`auxface.Predictor`.
        weights: see :class:`auxface.Predictor`.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        overwrite: whether to replace ``out`` if it exists.

    Raises:
        InputError: the image shows no face, the model is an exported file, or the output already exists or is not a PNG
            file.

    Example:
        >>> from pathlib import Path
        >>> import auxface
        >>> explanation, = auxface.explain("runs/a", next(Path("faces").glob("*.png")), Path("explanation.png"))
        >>> explanation.task
        'emotion'
    """
    from auxface.inference.explain import explanation_figure

    if out.suffix.lower() != ".png":
        raise InputError(f"{out}: the name of an explanation must end in .png")
    refuse_existing(out, overwrite)
    check_device(device)
    predictor = Predictor.from_pretrained(
        model, device=device, faces=faces, detector=detector, weights=weights, warn=print_note
    )
    _require_gradients(predictor, f"{model}: ")
    try:
        explanations = explain_image(predictor, image, task=task, face=face)[:_MAX_FACES]
    except InputError as error:
        raise InputError(f"{image}: {error}") from None
    with atomic_file(out) as temporary:
        temporary.write_bytes(explanation_figure(explanations))
    return explanations


def _require_gradients(predictor: Predictor, prefix: str = "") -> None:
    if not isinstance(predictor.scorer, TorchScorer):
        raise InputError(f"{prefix}explanations need gradients, which an exported model lacks; use the model directory")


def explain_image(
    predictor: Predictor,
    image: ImageInput,
    *,
    task: str | None = None,
    face: int | None = None,
    seed: int = 0,
    check: Callable[[], None] = lambda: None,
) -> list[Explanation]:
    """Return the explanations for the faces in one image, from left to right.

    Args:
        predictor: predictor loaded from a model directory; an exported file has no gradients.
        image: any image input that a predictor accepts.
        task: name of the task to explain; by default the first task.
        face: index of a single face to explain, counted from 0; by default all faces are explained.
        seed: seed of the noise and the masks.
        check: callback, called between steps; it may raise an exception to cancel the work.

    Raises:
        InputError: the model is an exported file, the task or face does not exist, or the image shows no face or cannot
            be read.
    """
    _require_gradients(predictor)
    assert isinstance(predictor.scorer, TorchScorer)
    record = _task_record(predictor.config.tasks, task)
    crops, reason = predictor.crop_faces(image)
    if not crops:
        raise InputError(f"nothing to explain: {reason}")
    if face is not None:
        if not 0 <= face < len(crops):
            raise InputError(f"face {face} does not exist; expected a number from 0 to {len(crops) - 1}")
        crops = [crops[face]]
    answers = predictor.predict_crops([crop.pixels for crop in crops])
    with full_precision(next(predictor.scorer.model.parameters()).device):
        return [
            _explain_face(predictor.scorer, Face(crop.box, answer), crop.pixels, record, seed, check)
            for crop, answer in zip(crops, answers, strict=True)
        ]


def _task_record(tasks: Sequence[TaskRecord], name: str | None) -> TaskRecord:
    for record in tasks:
        if name in (None, record.name):
            return record
    raise InputError(f"the model has no task '{name}'; its tasks are {', '.join(record.name for record in tasks)}")


def _explain_face(
    scorer: TorchScorer, face: Face, crop: np.ndarray, record: TaskRecord, seed: int, check: Callable[[], None]
) -> Explanation:
    model = scorer.model
    device = next(model.parameters()).device
    pixels = torch.from_numpy(np.ascontiguousarray(crop.transpose(2, 0, 1)))[None].to(device)
    images = pixels.float() / 255
    output, name = _explained_output(record, face.tasks[record.name])
    check()
    attention = attention_rollout(model, images)
    check()
    reconstructions = tuple(
        ReconstructionMap(
            result.target.key,
            _to_uint8(result.target_image[0]),
            _to_uint8(result.reconstruction[0]),
            result.error[0].float().cpu().numpy(),
            result.unit,
        )
        for result in reconstruction_errors(model, pixels, seed=seed)
    )
    check()
    return Explanation(
        face,
        crop,
        record.name,
        name,
        None if attention is None else attention[0].cpu().numpy(),
        input_gradients(model, images, record.name, output, seed=seed)[0].cpu().numpy(),
        reconstructions,
    )


def _explained_output(record: TaskRecord, answer: Answer) -> tuple[int, str]:
    """Return the index of the logit on which the prediction depends, and the name of its class."""
    if record.kind == "binary":
        return 0, record.classes[1]
    most_likely = max(answer.probabilities, key=answer.probabilities.__getitem__)
    if record.kind == "ordinal":
        return 0, most_likely
    return list(answer.probabilities).index(most_likely), most_likely


def _to_uint8(image: torch.Tensor) -> np.ndarray:
    return (image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()


def heat_map(image: np.ndarray, values: np.ndarray, limits: tuple[float, float] | None = None) -> np.ndarray:
    """Draw a map of patch values over a face, with dark colors for low values and bright colors for high values.

    Args:
        image: face crop, uint8 [S, S, 3].
        values: value of each patch, float [rows, columns].
        limits: values of the darkest and the brightest color, to draw several maps on one scale; by default the minimum
            and the 99.5th percentile of ``values``.

    Returns:
        The colored face, uint8 [S, S, 3].
    """
    import matplotlib

    side = image.shape[0]
    low, high = limits or (float(values.min()), float(np.percentile(values, 99.5)))
    scaled = np.clip((values - low) / max(high - low, 1e-12), 0, 1).astype(np.float32)
    smooth = np.clip(cv2.resize(scaled, (side, side), interpolation=cv2.INTER_CUBIC), 0, 1)
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)[..., None] / 255
    colors = matplotlib.colormaps["inferno"](0.12 + 0.86 * smooth)[..., :3].astype(np.float32)
    opacity = (0.25 + 0.6 * smooth)[..., None]
    # The colors are scaled by the gray values of the face, so that the face remains visible.
    blended = colors * (0.55 + 0.45 * gray) * opacity + 0.72 * gray * (1 - opacity)
    return (blended * 255).clip(0, 255).astype(np.uint8)


def explanation_figure(explanations: Sequence[Explanation]) -> bytes:
    """Return a PNG image with one block of maps per face."""
    import matplotlib
    from matplotlib.figure import Figure

    rows = [2 if len(one.reconstructions) <= 1 else 1 + len(one.reconstructions) for one in explanations]
    rc: dict[Any, Any] = {"font.size": 9, "font.family": "DejaVu Sans", "text.color": _TEXT, "text.parse_math": False}
    with matplotlib.rc_context(rc):
        figure = Figure(figsize=(13.2, 2.95 * sum(rows) + 0.15 * len(explanations)), dpi=110, facecolor="white")
        blocks = figure.subfigures(len(explanations), 1, height_ratios=rows, squeeze=False)[:, 0]
        for number, (block, one, count) in enumerate(zip(blocks, explanations, rows, strict=True)):
            _draw_face(block, one, count, f"face {number + 1}: " if len(explanations) > 1 else "")
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _draw_face(figure: "Figure", one: Explanation, rows: int, label: str) -> None:
    grid = figure.add_gridspec(
        rows, 5, width_ratios=[1, 1, 1, 1, 1], left=0.012, right=0.985, top=1 - 0.16 / rows, bottom=0.12 / rows,
        wspace=0.07, hspace=0.24,
    )  # fmt: skip
    answer = f"{label}{one.task}: {one.face.tasks[one.task]}"
    _draw_image(figure.add_subplot(grid[0:2, 0:2]), one.image, answer, large=True)
    axes = figure.add_subplot(grid[0, 2])
    if one.attention is None:
        _draw_text(axes, "attention rollout", "this encoder has no\nattention over patches")
    else:
        _draw_image(axes, heat_map(one.image, one.attention), "attention rollout\n(all tasks)")
    gradients = heat_map(one.image, one.gradients)
    _draw_image(figure.add_subplot(grid[0, 3]), gradients, f"input gradients\n(of '{one.output}')")
    _draw_probabilities(figure.add_subplot(grid[0, 4]), one)
    if not one.reconstructions:
        _draw_text(figure.add_subplot(grid[1, 2:5]), "", "this model has no reconstruction task")
    for row, result in enumerate(one.reconstructions, start=1):
        name = "RGB" if result.name == "rgb" else result.name.replace("_", " ")
        _draw_image(figure.add_subplot(grid[row, 2]), result.target, f"{name}\n(target)")
        _draw_image(figure.add_subplot(grid[row, 3]), result.reconstruction, f"{name}\n(reconstructed while hidden)")
        axes = figure.add_subplot(grid[row, 4])
        low, high = float(result.error.min()), float(result.error.max())
        _draw_image(axes, heat_map(one.image, result.error), "reconstruction error\n(per patch)")
        axes.set_xlabel(f"{low:.2g} to {high:.2g} {result.unit}", fontsize=7, color=_MUTED)


def _draw_image(axes: "Axes", image: np.ndarray, title: str, large: bool = False) -> None:
    axes.imshow(image, interpolation="lanczos" if large else "nearest")
    axes.set_title(title, fontsize=12 if large else 8.5, loc="left", color=_TEXT, linespacing=1.25)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def _draw_text(axes: "Axes", title: str, text: str) -> None:
    axes.axis("off")
    axes.set_title(title, fontsize=8.5, loc="left")
    axes.text(0.02, 0.5, text, transform=axes.transAxes, fontsize=9, color=_MUTED, wrap=True, va="center")


def _draw_probabilities(axes: "Axes", one: Explanation) -> None:
    scores = one.face.tasks[one.task].probabilities
    # barh draws from the bottom up.
    best = sorted(scores.items(), key=lambda item: -item[1])[:_MAX_BARS][::-1]
    names, values = [name for name, _ in best], [value for _, value in best]
    colors = [_ACCENT if name == one.output else _BAR for name in names]
    axes.barh(range(len(best)), values, color=colors, height=0.62)
    axes.set_xlim(0, 1.0)
    axes.set_ylim(-0.7, max(len(best), 4) - 0.3)
    for place, (name, value) in enumerate(best):
        axes.text(0.01, place + 0.36, name.replace("_", " "), fontsize=6.6, va="bottom", color=_TEXT)
        inside = value > 0.84
        color = ("white" if colors[place] == _ACCENT else _TEXT) if inside else _MUTED
        axes.text(min(value + 0.02, 0.86), place, f"{value:.0%}", fontsize=7, va="center", color=color)
    axes.set_title("calibrated\nprobabilities", fontsize=8.5, loc="left")
    axes.axis("off")
    axes.set_box_aspect(1)
