"""The JSON that the API answers with, as its OpenAPI describes it."""

import base64
import io
from typing import Any

import cv2
import numpy as np
from PIL import Image
from pydantic import BaseModel, Field

from auxface.inference.explain import Explanation
from auxface.inference.explanation_figure import heat_map

_SIDE = 384


class AnswerOut(BaseModel):
    """One task of one face."""

    answer: str | list[str] | None = Field(alias="class", description="class name; names of the attributes present")
    probability: float | None
    probabilities: dict[str, float] = Field(description="calibrated, per class or attribute")
    threshold: float | dict[str, float] | None
    abstained: bool
    value: float | None = Field(None, description="predicted number of an ordinal task")


class FaceOut(BaseModel):
    """One face."""

    box: tuple[float, float, float, float] = Field(description="x, y, width, height in pixels")
    tasks: dict[str, AnswerOut]


class TrackOut(BaseModel):
    """One face through a video."""

    frames: list[int]
    seconds: list[float]
    boxes: list[tuple[float, float, float, float]]
    scores: dict[str, dict[str, list[float]]] = Field(description="per task and class, one score per frame")


class VideoOut(BaseModel):
    """What belongs to a video as a whole."""

    frames: int
    looked_at: int
    seconds: float
    rule: str = Field(description="how frames' scores become the video's")
    tasks: dict[str, AnswerOut]
    tracks: list[TrackOut]


class PredictionOut(BaseModel):
    """An answer to ``/predict``."""

    input: str = Field(description="SHA-256 of the file")
    reason: str | None = Field(description="why there is no face; null where there is one")
    faces: list[FaceOut]
    video: VideoOut | None = None


class Layer(BaseModel):
    """One view of a face."""

    name: str
    title: str
    caption: str
    image: str = Field(description="PNG as a data address")


class ExplanationOut(BaseModel):
    """An answer to ``/explain``."""

    input: str = Field(description="SHA-256 of the file")
    face: FaceOut
    task: str
    output: str = Field(description="class whose score the gradients explain")
    layers: list[Layer]


class TaskOut(BaseModel):
    """What the model answers."""

    name: str
    kind: str
    classes: list[str]
    thresholds: dict[str, float]
    abstain: tuple[float, float] | None
    meaning: str | None = Field(description="what the score does and does not mean, for forgery tasks")


class ModelOut(BaseModel):
    """An answer to ``/model``."""

    name: str
    tasks: list[TaskOut]
    image_size: int
    faces: str = Field(description="how images become faces")
    explains: bool
    report: bool = Field(description="whether the model's audit is served at /report")
    provenance: dict[str, Any]
    limits: dict[str, float]


class Health(BaseModel):
    """An answer to ``/health``."""

    status: str
    in_hand: int
    queue: int


def layers_of(one: Explanation) -> list[Layer]:
    """The views of a face that the page's slider moves through."""
    side = max(_SIDE, one.image.shape[0])
    made: list[Layer] = []
    # Enlarged first, so that maps glide over the face in place of growing with its pixels.
    large = cv2.resize(one.image, (side, side), interpolation=cv2.INTER_CUBIC)

    def add(name: str, title: str, caption: str, image: np.ndarray) -> None:
        made.append(Layer(name=name, title=title, caption=caption, image=_png(image, side)))

    add("photograph", "Photograph", "The face as the model sees it.", large)
    if one.attention is not None:
        caption = "Attention rollout: how much of each patch reaches the answer through all layers."
        add("attention", "Attention", caption, heat_map(large, one.attention))
    caption = f"Gradients: where a small change would move '{one.output}' most."
    add("gradients", "Gradients", caption, heat_map(large, one.gradients))
    for texture in one.reconstructions:
        name = "RGB" if texture.name == "rgb" else texture.name.replace("_", " ")
        short = "Color" if texture.name == "rgb" else "Texture"
        if texture.name != "rgb":
            caption = f"The {name} of the face: what the auxiliary task asks for."
            add(texture.name, short, caption, texture.target)
        caption = f"The {name} of each patch as the model rebuilds it from the others alone."
        add(f"{texture.name}.rebuilt", f"{short} rebuilt", caption, texture.reconstruction)
        low, high = float(texture.error.min()), float(texture.error.max())
        caption = f"Surprise: where its {name} cannot be told from the rest; {low:.2g} to {high:.2g} {texture.unit}."
        add(f"{texture.name}.surprise", f"{short} surprise", caption, heat_map(large, texture.error))
    return made


def _png(pixels: np.ndarray, side: int) -> str:
    image = Image.fromarray(np.ascontiguousarray(pixels))
    # Codes are not colors: between two of them lies nothing.
    image = image if image.width >= side else image.resize((side, side), Image.Resampling.NEAREST)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
