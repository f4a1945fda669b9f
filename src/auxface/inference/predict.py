"""``auxface predict``: a model and images, folders and videos to answers, tables and overlays."""

import itertools
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from auxface.data.faces.settings import DetectorName
from auxface.data.images.decode import SUFFIXES
from auxface.data.layouts.tree import files_under
from auxface.data.prepare.file_processing import safe_name
from auxface.data.video.frames import VIDEO_SUFFIXES, is_video
from auxface.device import check_device
from auxface.errors import InputError
from auxface.inference.drawing import boxed, legible
from auxface.inference.predict_video import LOOKS_PER_SECOND, VideoPrediction, predict_video
from auxface.inference.prediction import Prediction, meaning
from auxface.inference.predictor import Predictor
from auxface.inference.preprocessing import FacesMode, is_url, read_any
from auxface.inference.timeline import write_overlay_video
from auxface.output_folder import check_output_folder, refuse_inputs_inside, written_folder
from auxface.progress import progress_bar


def predict(
    model: str | Path,
    inputs: Sequence[str | Path],
    *,
    out: Path | None = None,
    overlay: bool = False,
    overwrite: bool = False,
    faces: FacesMode = "auto",
    detector: DetectorName | None = None,
    weights: Path | None = None,
    looks_per_second: float = LOOKS_PER_SECOND,
    allow_urls: bool = False,
    device: str = "auto",
    warn: Callable[[str], None] | None = None,
) -> list[Prediction]:
    """Answer for every input, in order; one that cannot be read is in the list with its reason.

    With ``out`` a folder is made: ``predictions.csv`` (a row per face and task), ``predictions.json`` (what ``--json``
    prints), for each video ``NAME.scores.csv`` and ``NAME.scores.png``; with ``overlay`` images and videos with boxes
    and scores, below ``overlay/``.

    Args:
        model: a model directory, an exported ``.onnx`` file, or a hub name.
        inputs: images, videos, folders of both (searched through), and with ``allow_urls`` addresses of images.
        out: the folder to make.
        overlay: whether images and videos are drawn; needs ``out``.
        overwrite: replace what auxface wrote in ``out``.
        faces: see :class:`auxface.inference.predictor.Predictor`, as for the next two.
        detector: likewise.
        weights: likewise.
        looks_per_second: frames of a video that are looked at; 0: all.
        allow_urls: whether addresses are fetched.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        warn: told what differs from training; by default a line on standard error.

    Raises:
        InputError: no input, an empty folder, not a model, a device that this machine lacks, an output that exists.
    """
    if not inputs:
        raise InputError("name at least one image, video or folder")
    if overlay and out is None:
        raise InputError("--overlay makes files; name a folder for them with -o")
    check_device(device)
    if out is not None:
        check_output_folder(out, overwrite)
    listed = list(_listed(inputs))
    if out is not None:
        refuse_inputs_inside(out, [Path(model), *(item for item in listed if isinstance(item, Path))])
    warn = warn or to_standard_error
    predictor = Predictor.from_pretrained(
        model,
        device=device,
        faces=faces,
        detector=detector,
        weights=weights,
        allow_urls=allow_urls,
        warn=warn,
    )
    for sentence in filter(None, map(meaning, predictor.config.tasks)):
        warn(sentence)
    results: list[Prediction] = []
    with nullcontext() if out is None else written_folder(out) as folder:
        with progress_bar("predict", len(listed), "files") as advance:
            for video, group in itertools.groupby(listed, lambda item: isinstance(item, Path) and is_video(item)):
                paths = list(group)
                for result in _videos(predictor, paths, looks_per_second) if video else predictor.stream(paths):
                    results.append(result)
                    if folder is not None and overlay:
                        _draw(result, _place(folder / "overlay", len(results), result.input), allow_urls)
                    advance(1)
        if folder is not None:
            _write(results, folder)
    return results


def _listed(inputs: Sequence[str | Path]) -> Iterator[str | Path]:
    for item in inputs:
        if isinstance(item, str) and is_url(item):
            yield item
        elif Path(item).is_dir():
            found = list(files_under(Path(item), (*SUFFIXES, *VIDEO_SUFFIXES)))
            if not found:
                raise InputError(f"{item}: a folder without images or videos")
            yield from found
        else:
            yield Path(item)


def _videos(predictor: Predictor, paths: list[str | Path], looks_per_second: float) -> Iterator[VideoPrediction]:
    for path in paths:
        with progress_bar(f"watch {Path(path).name}", 0, "frames") as advance:
            yield predict_video(predictor, Path(path), looks_per_second=looks_per_second, advance=advance)


def _place(folder: Path, number: int, name: str) -> Path:
    """A name that no other input has."""
    return folder / f"{number:05d}-{safe_name(Path(name).stem)}"


def _draw(result: Prediction, place: Path, allow_urls: bool) -> None:
    if not result.faces:
        return
    if isinstance(result, VideoPrediction):
        with progress_bar(f"draw {Path(result.input).name}", result.frames, "frames") as advance:
            write_overlay_video(result, place.with_name(place.name + ".mp4"), advance)
        return
    image = boxed(*legible(read_any(result.source, allow_urls=allow_urls), result.faces))
    place.parent.mkdir(exist_ok=True)
    Image.fromarray(np.ascontiguousarray(image)).save(place.with_name(place.name + ".jpg"), quality=92)


def _write(results: list[Prediction], folder: Path) -> None:
    rows = pd.concat([result.to_frame() for result in results], ignore_index=True)
    rows.to_csv(folder / "predictions.csv", index=False)
    said = json.dumps([result.to_dict() for result in results], indent=1) + "\n"
    (folder / "predictions.json").write_text(said, encoding="utf-8")
    for number, result in enumerate(results, start=1):
        if isinstance(result, VideoPrediction):
            place = _place(folder, number, result.input)
            result.over_time().to_csv(place.with_name(place.name + ".scores.csv"), index=False)
            result.plot().savefig(place.with_name(place.name + ".scores.png"))


def to_standard_error(sentence: str) -> None:
    """Say what a person should know, and go on."""
    print(f"note: {sentence}", file=sys.stderr)
