"""Why a model answered so: where it looked, and what it can and cannot rebuild of the face.

An explanation as one figure: the face and its scores, where the model looked, what it rebuilt and what it missed.

``auxface explain``: a model directory and an image to one figure.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch

from auxface.atomic import atomic_file, refuse_existing
from auxface.data.faces.settings import DetectorName
from auxface.device import check_device
from auxface.errors import InputError
from auxface.inference.predict import to_standard_error
from auxface.inference.prediction import Answer, Face
from auxface.inference.predictor import ImageInput, Predictor, TorchScorer
from auxface.inference.preprocessing import FacesMode
from auxface.inference.reconstruction_error import reconstruction_surprise
from auxface.inference.saliency import attention_rollout, input_gradients
from auxface.model.config import TaskRecord
from auxface.model.scoring import full_precision

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Texture:
    """What was to be rebuilt of a face, and what was.

    Attributes:
        name: ``rgb`` or a texture descriptor.
        wanted: uint8 [S, S, 3].
        rebuilt: uint8 [S, S, 3]; each patch as rebuilt while it was hidden.
        surprise: float32 [rows, columns], the error of each patch.
        unit: of the surprise.
    """

    name: str
    wanted: np.ndarray
    rebuilt: np.ndarray
    surprise: np.ndarray
    unit: str


@dataclass(frozen=True)
class Explanation:
    """One face explained for one task.

    Attributes:
        face: box and answers.
        image: uint8 [S, S, 3], the face as the model saw it.
        task: whose answer is explained by the gradients.
        output: the class whose score they move.
        attention: float32 [rows, columns], summing to 1; None for encoders without attention over patches.
        gradients: float32 [rows, columns], summing to 1.
        textures: one per target of the model's auxiliary task; empty where it has none.
    """

    face: Face
    image: np.ndarray
    task: str
    output: str
    attention: np.ndarray | None
    gradients: np.ndarray
    textures: tuple[Texture, ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        """Box, answers and every map as plain JSON; images are left out."""
        return {
            "face": self.face.to_dict(),
            "task": self.task,
            "output": self.output,
            "attention": None if self.attention is None else self.attention.tolist(),
            "gradients": self.gradients.tolist(),
            "surprise": {
                texture.name: {"unit": texture.unit, "patches": texture.surprise.tolist()} for texture in self.textures
            },
        }


def explain_image(
    predictor: Predictor, image: ImageInput, *, task: str | None = None, only: int | None = None, seed: int = 0
) -> list[Explanation]:
    """Explain the answers for the faces of one image, from left to right.

    Args:
        predictor: of a model directory; an exported file has no gradients.
        image: anything that the predictor takes.
        task: which answer; the first task by default.
        only: the place of the one face to explain.
        seed: of the noise and the masks; the same explanation every time.

    Raises:
        InputError: an exported model, an unknown task, a face that is not there, or an image without one (with the
            reason).
    """
    if not isinstance(predictor.scorer, TorchScorer):
        raise InputError("an exported model has no gradients to explain with; use its model directory")
    record = _record(predictor.config.tasks, task)
    shown, reason = predictor.look(image)
    if not shown:
        raise InputError(f"nothing to explain: {reason}")
    if only is not None:
        if not 0 <= only < len(shown):
            raise InputError(f"there is no face {only}; the image has {len(shown)}, counted from 0")
        shown = [shown[only]]
    answers = predictor.answer([face.square for face in shown])
    faces = [Face(face.box, answer) for face, answer in zip(shown, answers, strict=True)]
    with full_precision(next(predictor.scorer.model.parameters()).device):
        return [
            _explained(predictor.scorer, face, looked.square, record, seed)
            for face, looked in zip(faces, shown, strict=True)
        ]


def _record(tasks: Sequence[TaskRecord], name: str | None) -> TaskRecord:
    for record in tasks:
        if name in (None, record.name):
            return record
    raise InputError(f"the model has no task '{name}'; it has {', '.join(record.name for record in tasks)}")


def _explained(scorer: TorchScorer, face: Face, square: np.ndarray, record: TaskRecord, seed: int) -> Explanation:
    model = scorer.model
    device = next(model.parameters()).device
    pixels = torch.from_numpy(np.ascontiguousarray(square.transpose(2, 0, 1)))[None].to(device)
    images = pixels.float() / 255
    output, name = _output(record, face.tasks[record.name])
    attention = attention_rollout(model, images)
    textures = tuple(
        Texture(
            made.target.name,
            _to_bytes(made.wanted[0]),
            _to_bytes(made.rebuilt[0]),
            made.error[0].float().cpu().numpy(),
            made.unit,
        )
        for made in reconstruction_surprise(model, pixels, seed=seed)
    )
    return Explanation(
        face,
        square,
        record.name,
        name,
        None if attention is None else attention[0].cpu().numpy(),
        input_gradients(model, images, record.name, output, seed=seed)[0].cpu().numpy(),
        textures,
    )


def _output(record: TaskRecord, answer: Answer) -> tuple[int, str]:
    """Which logit the answer stands on, and the name of what it speaks for."""
    if record.kind == "binary":
        return 0, record.classes[1]
    likeliest = max(answer.probabilities, key=answer.probabilities.__getitem__)
    if record.kind == "ordinal":
        return 0, likeliest
    return list(answer.probabilities).index(likeliest), likeliest


def _to_bytes(image: torch.Tensor) -> np.ndarray:
    return (image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()


_SHOWN = 8
_INK, _MUTED, _ACCENT = "#1d1f22", "#63676d", "#0b5c8c"


def heat(image: np.ndarray, values: np.ndarray, ends: tuple[float, float] | None = None) -> np.ndarray:
    """A map of patches laid over its face, uint8 [S, S, 3]: dark where it is lowest, glowing where it is highest.

    Args:
        image: uint8 [S, S, 3].
        values: float [rows, columns].
        ends: what is darkest and what glows most, for several maps on one scale; None: the map's own ends.
    """
    import matplotlib

    side = image.shape[0]
    low, high = ends or (float(values.min()), float(np.percentile(values, 99.5)))
    scaled = np.clip((values - low) / max(high - low, 1e-12), 0, 1).astype(np.float32)
    smooth = np.clip(cv2.resize(scaled, (side, side), interpolation=cv2.INTER_CUBIC), 0, 1)
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)[..., None] / 255
    colors = matplotlib.colormaps["inferno"](0.12 + 0.86 * smooth)[..., :3].astype(np.float32)
    share = (0.25 + 0.6 * smooth)[..., None]
    # The face stays readable through the colors.
    return ((colors * (0.55 + 0.45 * gray) * share + 0.72 * gray * (1 - share)) * 255).clip(0, 255).astype(np.uint8)


def explanation_figure(explained: Sequence[Explanation]) -> bytes:
    """A PNG with a block per face."""
    import matplotlib
    from matplotlib.figure import Figure

    rows = [2 if len(one.textures) <= 1 else 1 + len(one.textures) for one in explained]
    with matplotlib.rc_context({"font.size": 9, "font.family": "DejaVu Sans", "text.color": _INK}):
        figure = Figure(figsize=(13.2, 2.95 * sum(rows) + 0.15 * len(explained)), dpi=110, facecolor="white")
        blocks = figure.subfigures(len(explained), 1, height_ratios=rows, squeeze=False)[:, 0]
        for number, (block, one, count) in enumerate(zip(blocks, explained, rows, strict=True)):
            _block(block, one, count, f"face {number + 1}: " if len(explained) > 1 else "")
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _block(figure: "Figure", one: Explanation, rows: int, label: str) -> None:
    grid = figure.add_gridspec(
        rows, 5, width_ratios=[1, 1, 1, 1, 1], left=0.012, right=0.985, top=1 - 0.16 / rows, bottom=0.12 / rows,
        wspace=0.07, hspace=0.24,
    )  # fmt: skip
    _show(figure.add_subplot(grid[0:2, 0:2]), one.image, f"{label}{one.task}: {one.face.tasks[one.task]}", large=True)
    if one.attention is None:
        _say(figure.add_subplot(grid[0, 2]), "attention", "this encoder has no\nattention over patches")
    else:
        _show(figure.add_subplot(grid[0, 2]), heat(one.image, one.attention), "where it looked\n(attention rollout)")
    _show(figure.add_subplot(grid[0, 3]), heat(one.image, one.gradients), f"what moves '{one.output}'\n(gradients)")
    _bars(figure.add_subplot(grid[0, 4]), one)
    if not one.textures:
        _say(figure.add_subplot(grid[1, 2:5]), "", "this model was trained to classify alone; it rebuilds nothing")
    for row, texture in enumerate(one.textures, start=1):
        name = "RGB" if texture.name == "rgb" else texture.name.replace("_", " ")
        _show(figure.add_subplot(grid[row, 2]), texture.wanted, f"{name}\nof the face")
        _show(figure.add_subplot(grid[row, 3]), texture.rebuilt, f"{name}\nrebuilt where hidden")
        axes = figure.add_subplot(grid[row, 4])
        low, high = float(texture.surprise.min()), float(texture.surprise.max())
        _show(axes, heat(one.image, texture.surprise), "surprise: where it\ncould not rebuild")
        axes.set_xlabel(f"{low:.2g} to {high:.2g} {texture.unit}", fontsize=7, color=_MUTED)


def _show(axes: "Axes", image: np.ndarray, title: str, large: bool = False) -> None:
    axes.imshow(image, interpolation="lanczos" if large else "nearest")
    axes.set_title(title, fontsize=12 if large else 8.5, loc="left", color=_INK, linespacing=1.25)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def _say(axes: "Axes", title: str, text: str) -> None:
    axes.axis("off")
    axes.set_title(title, fontsize=8.5, loc="left")
    axes.text(0.02, 0.5, text, transform=axes.transAxes, fontsize=9, color=_MUTED, wrap=True, va="center")


def _bars(axes: "Axes", one: Explanation) -> None:
    scores = one.face.tasks[one.task].probabilities
    best = sorted(scores.items(), key=lambda item: -item[1])[:_SHOWN][::-1]
    names, values = [name for name, _ in best], [value for _, value in best]
    colors = [_ACCENT if name == one.output else "#b9c3cb" for name in names]
    axes.barh(range(len(best)), values, color=colors, height=0.62)
    axes.set_xlim(0, 1.0)
    axes.set_ylim(-0.7, max(len(best), 4) - 0.3)
    for place, (name, value) in enumerate(best):
        axes.text(0.01, place + 0.36, name.replace("_", " "), fontsize=6.6, va="bottom", color=_INK)
        inside = value > 0.84
        ink = ("white" if colors[place] == _ACCENT else _INK) if inside else _MUTED
        axes.text(min(value + 0.02, 0.86), place, f"{value:.0%}", fontsize=7, va="center", color=ink)
    axes.set_title("calibrated\nprobabilities", fontsize=8.5, loc="left")
    axes.axis("off")
    axes.set_box_aspect(1)


_MOST_FACES = 6


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
    """Draw, for each face of an image (at most six), where the model looked and what it could not rebuild.

    Args:
        model: a model directory or a hub name.
        image: the image.
        out: the PNG to make.
        task: which answer the gradients explain; the first by default.
        face: the place of the one face to explain, from 0.
        faces: see :class:`auxface.inference.predictor.Predictor`, as for the next two.
        detector: likewise.
        weights: likewise.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        overwrite: replace ``out`` if it exists.

    Raises:
        InputError: an image without a face, an exported model, an output that exists or is no PNG.
    """
    if out.suffix.lower() != ".png":
        raise InputError(f"{out}: an explanation is written as .png")
    refuse_existing(out, overwrite)
    check_device(device)
    predictor = Predictor.from_pretrained(
        model, device=device, faces=faces, detector=detector, weights=weights, warn=to_standard_error
    )
    try:
        explained = explain_image(predictor, image, task=task, only=face)[:_MOST_FACES]
    except InputError as error:
        raise InputError(f"{image}: {error}") from None
    with atomic_file(out) as beside:
        beside.write_bytes(explanation_figure(explained))
    return explained
