"""The JSON responses of the API, from which its OpenAPI document is generated, and the errors of requests."""

import base64
import io
from typing import Any

import cv2
import numpy as np
from PIL import Image
from pydantic import BaseModel, Field

from auxface.inference.explain import Explanation, heat_map
from auxface.model.config import Evidence

RETRY_SECONDS = 1
_LAYER_SIDE = 384


class RequestError(Exception):
    """A request that is rejected.

    Args:
        status: HTTP status code.
        reason: the reason, in one sentence.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class ErrorOut(BaseModel):
    """The body of every error response."""

    reason: str


RESPONSES: dict[int | str, dict] = {
    400: {"model": ErrorOut, "description": "The request is malformed"},
    401: {"model": ErrorOut, "description": "The token is missing or wrong"},
    408: {"model": ErrorOut, "description": "The upload took too long"},
    413: {"model": ErrorOut, "description": "The file has too many bytes, pixels or frames"},
    415: {"model": ErrorOut, "description": "The file is not a supported image or video"},
    422: {"model": ErrorOut, "description": "The file is corrupted, or a parameter is invalid"},
    429: {"model": ErrorOut, "description": "The queue is full; try again"},
    503: {"model": ErrorOut, "description": "The request took too long, or the server is stopping"},
}


class AnswerOut(BaseModel):
    """The answer for one task and one face."""

    answer: str | list[str] | None = Field(
        alias="class", description="predicted class; for a multi-label task, the predicted attributes"
    )
    probability: float | None
    probabilities: dict[str, float] = Field(description="calibrated probability of each class or attribute")
    threshold: float | dict[str, float] | None
    abstained: bool
    value: float | None = Field(None, description="expected value of an ordinal task")
    learned: bool | None = Field(
        None, description="whether the model has learned the class, judged on the validation split; null if unknown"
    )
    not_learned: list[str] = Field([], description="classes or attributes that the model has not learned")
    headline: list[str] = Field(
        [], description="names with a precision of at least 0.8 on the validation split or a probability above 0.5"
    )


class FaceOut(BaseModel):
    """A face with its box and answers."""

    box: tuple[float, float, float, float] = Field(description="x, y, width, height in pixels")
    tasks: dict[str, AnswerOut]


class TrackOut(BaseModel):
    """A face that is tracked through a video."""

    frames: list[int]
    seconds: list[float]
    boxes: list[tuple[float, float, float, float]]
    scores: dict[str, dict[str, list[float]]] = Field(description="one score per frame, by task and class")


class VideoOut(BaseModel):
    """The answers for the whole video."""

    frames: int
    looked_at: int = Field(description="number of frames that were scored")
    seconds: float
    rule: str = Field(description="how the scores of frames are combined: mean, median or max")
    tasks: dict[str, AnswerOut]
    tracks: list[TrackOut]


class PredictionOut(BaseModel):
    """The response of ``/predict``."""

    input: str = Field(description="SHA-256 of the file")
    reason: str | None = Field(description="why there is no face; null if there is one")
    faces: list[FaceOut]
    video: VideoOut | None = None


class Layer(BaseModel):
    """An image of a face, such as a saliency map, with its title and caption."""

    name: str
    title: str
    caption: str
    image: str = Field(description="PNG as a data URL")


class ExplanationOut(BaseModel):
    """The response of ``/explain``."""

    input: str = Field(description="SHA-256 of the file")
    face: FaceOut
    task: str
    output: str = Field(description="class whose score the gradients explain")
    layers: list[Layer]


class TaskOut(BaseModel):
    """One task of the model."""

    name: str
    kind: str
    classes: list[str]
    thresholds: dict[str, float]
    abstain: tuple[float, float] | None
    evidence: dict[str, Evidence] = Field(
        description="by class or attribute: AUC and precision on the validation split"
    )
    meaning: str | None = Field(description="for forgery tasks: what the score does and does not show")


class ModelOut(BaseModel):
    """The response of ``/model``."""

    name: str
    tasks: list[TaskOut]
    image_size: int
    faces: str = Field(description="how faces are cropped from images")
    explains: bool
    report: bool = Field(description="whether the model's audit is served at /report")
    provenance: dict[str, Any]
    limits: dict[str, float]


class Health(BaseModel):
    """The response of ``/health``."""

    status: str
    in_hand: int = Field(description="number of requests that are not yet answered")
    queue: int


def explanation_layers(explanation: Explanation) -> list[Layer]:
    """Return the images of a face that can be selected with the slider on the page."""
    side = max(_LAYER_SIDE, explanation.image.shape[0])
    layers: list[Layer] = []
    # The face is enlarged first, so that the maps are interpolated at the final size.
    face = cv2.resize(explanation.image, (side, side), interpolation=cv2.INTER_CUBIC)

    def add(name: str, title: str, caption: str, image: np.ndarray) -> None:
        layers.append(Layer(name=name, title=title, caption=caption, image=_png(image, side)))

    add("crop", "Face crop", "The face crop that was passed to the model.", face)
    if explanation.attention is not None:
        caption = "Attention rollout: how much each patch contributes to the features through all layers."
        add("attention", "Attention", caption, heat_map(face, explanation.attention))
    caption = f"Gradients: where a small change would affect the score of '{explanation.output}' most."
    add("gradients", "Gradients", caption, heat_map(face, explanation.gradients))
    for result in explanation.reconstructions:
        name = "RGB image" if result.name == "rgb" else result.name.replace("_", " ")
        kind = "color" if result.name == "rgb" else "texture"
        if result.name != "rgb":
            caption = f"The {name} of the face: the target of the auxiliary task."
            add(result.name, "Texture", caption, result.target)
        caption = f"The {name}, with each patch reconstructed from the visible patches while it was hidden."
        add(f"{result.name}.reconstruction", f"Reconstructed {kind}", caption, result.reconstruction)
        low, high = float(result.error.min()), float(result.error.max())
        caption = f"Reconstruction error of the {name}; {low:.2g} to {high:.2g} {result.unit}."
        add(
            f"{result.name}.reconstruction_error",
            f"{kind.capitalize()} reconstruction error",
            caption,
            heat_map(face, result.error),
        )
    return layers


def _png(pixels: np.ndarray, side: int) -> str:
    image = Image.fromarray(np.ascontiguousarray(pixels))
    # Texture codes must not be interpolated.
    image = image if image.width >= side else image.resize((side, side), Image.Resampling.NEAREST)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
