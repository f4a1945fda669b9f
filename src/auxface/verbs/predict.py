"""``auxface predict``: a model directory and pictures to answers."""

from collections.abc import Sequence
from pathlib import Path

from auxface.errors import InputError
from auxface.inference.predictor import Predictor
from auxface.inference.results import Prediction
from auxface.progress import progress_bar
from auxface.verbs.train import check_device

_BATCH = 64


def predict(model: Path, inputs: Sequence[Path], *, device: str = "auto") -> list[Prediction]:
    """Answer for every input, in order; one that cannot be read is in the list with its reason.

    Raises:
        InputError: no input, not a model directory, a device that this machine lacks.
    """
    if not inputs:
        raise InputError("name at least one picture")
    check_device(device)
    predictor = Predictor.from_pretrained(model, device)
    results: list[Prediction] = []
    with progress_bar("predict", len(inputs), "pictures") as advance:
        for start in range(0, len(inputs), _BATCH):
            batch = predictor.predict(inputs[start : start + _BATCH])
            results += batch
            advance(len(batch))
    return results
