"""``auxface explain``: a model directory and a picture to one figure."""

from pathlib import Path

from auxface.atomic import atomic_file, refuse_existing
from auxface.data.faces.settings import DetectorName
from auxface.errors import InputError
from auxface.inference.explain import Explanation
from auxface.inference.explain import explain as explain_picture
from auxface.inference.explain_figure import explanation_figure
from auxface.inference.faces import FacesMode
from auxface.inference.predictor import Predictor
from auxface.verbs.predict import to_standard_error
from auxface.verbs.train import check_device

_MOST_FACES = 6


def explain(
    model: str | Path,
    picture: Path,
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
    """Draw, for each face of a picture (at most six), where the model looked and what it could not rebuild.

    Args:
        model: a model directory or a hub name.
        picture: the picture.
        out: the PNG to make.
        task: which answer the gradients explain; the first by default.
        face: the place of the one face to explain, from 0.
        faces: see :class:`auxface.inference.predictor.Predictor`, as for the next two.
        detector: likewise.
        weights: likewise.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        overwrite: replace ``out`` if it exists.

    Raises:
        InputError: a picture without a face, an exported model, an output that exists or is no PNG.
    """
    if out.suffix.lower() != ".png":
        raise InputError(f"{out}: an explanation is written as .png")
    refuse_existing(out, overwrite)
    check_device(device)
    predictor = Predictor.from_pretrained(
        model, device=device, faces=faces, detector=detector, weights=weights, warn=to_standard_error
    )
    try:
        explained = explain_picture(predictor, picture, task=task, only=face)[:_MOST_FACES]
    except InputError as error:
        raise InputError(f"{picture}: {error}") from None
    with atomic_file(out) as beside:
        beside.write_bytes(explanation_figure(explained))
    return explained
