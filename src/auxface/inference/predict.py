"""Predict on images, folders and videos, and optionally write tables and overlays.

Example::

    results = predict("runs/x", ["photo.jpg", "folder/", "clip.mp4"], out=Path("out"), overlay=True)
"""

import itertools
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path

import numpy as np
from PIL import Image

from auxface.data.faces.detection import DetectorName
from auxface.data.media import is_video
from auxface.device import check_device
from auxface.errors import InputError
from auxface.inference.answers import forgery_note
from auxface.inference.drawing import draw_boxes, enlarge_for_labels, write_overlay_video
from auxface.inference.predict_video import FRAMES_PER_SECOND, predict_video
from auxface.inference.prediction import Prediction, VideoPrediction
from auxface.inference.predictor import Predictor
from auxface.inference.preprocessing import FacesMode, WholeImage, is_url, recorded_settings, to_rgb
from auxface.output_folder import check_output_folder, refuse_inputs_inside, written_folder
from auxface.progress import progress_bar
from auxface.sample_kind import FACES, kind_of


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
    frames_per_second: float = FRAMES_PER_SECOND,
    allow_urls: bool = False,
    device: str = "auto",
    warn: Callable[[str], None] | None = None,
) -> list[Prediction]:
    """Return one prediction per input, in order; for an unreadable input, the prediction holds the reason.

    With ``out``, a folder is written that contains ``predictions.csv`` (one row per face and task),
    ``predictions.json`` (the output of ``--json``) and, for each video, ``NAME.scores.csv`` and ``NAME.scores.png``.
    With ``overlay``, images and videos with boxes and labels are also written to ``overlay/``.

    Args:
        model: path of a model directory or an exported ``.onnx`` file, or a Hub name.
        inputs: paths of images, videos and folders (searched recursively) and, with ``allow_urls``, URLs of images.
        out: path of the folder to write.
        overlay: whether to write images and videos with boxes and labels; requires ``out``.
        overwrite: whether to replace files in ``out`` that auxface wrote.
        faces: see :class:`auxface.Predictor`.
        detector: see :class:`auxface.Predictor`.
        weights: see :class:`auxface.Predictor`.
        frames_per_second: number of frames to score per second of video; 0 means every frame.
        allow_urls: whether to fetch URLs.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        warn: callback that receives a message about each difference from training; by default messages are printed to
            standard error.

    Raises:
        InputError: no input is given, a folder is empty, the model is invalid, the device is not available, or the
            output already exists.

    Example:
        >>> from pathlib import Path
        >>> import auxface
        >>> prediction, = auxface.predict("runs/a", [next(Path("faces").glob("*.png"))])
        >>> answer = prediction.faces[0].tasks["emotion"]
        >>> 0 < answer.probability <= 1
        True
    """
    if not inputs:
        raise InputError("name at least one image, video or folder")
    if overlay and out is None:
        raise InputError("--overlay writes files; name a folder for them with -o")
    check_device(device)
    if out is not None:
        check_output_folder(out, overwrite)
    paths = list(_expand(inputs))
    if out is not None:
        refuse_inputs_inside(out, [Path(model), *(path for path in paths if isinstance(path, Path))])
    warn = warn or print_note
    predictor = Predictor.from_pretrained(
        model,
        device=device,
        faces=faces,
        detector=detector,
        weights=weights,
        allow_urls=allow_urls,
        warn=warn,
    )
    crop = predictor.config.crop
    uncropped = isinstance(predictor.face_extractor, WholeImage) and recorded_settings(crop) is None
    if uncropped and kind_of(crop) is FACES:
        warn("faces are not detected: the central square of each image or frame is scored as one face")
    for note in filter(None, map(forgery_note, predictor.config.tasks)):
        warn(note)
    results: list[Prediction] = []
    with nullcontext() if out is None else written_folder(out) as folder:
        with progress_bar("predict", len(paths), "files") as advance:
            for video, group in itertools.groupby(paths, lambda path: isinstance(path, Path) and is_video(path)):
                batch = list(group)
                made = _predict_videos(predictor, batch, frames_per_second) if video else predictor.stream(batch)
                for result in made:
                    results.append(result)
                    if folder is not None and overlay:
                        _write_overlay(result, _output_path(folder / "overlay", len(results), result.input), allow_urls)
                    advance(1)
        if folder is not None:
            _write_tables(results, folder)
    return results


def print_note(text: str) -> None:
    """Print a note to standard error."""
    print(f"note: {text}", file=sys.stderr)


def _expand(inputs: Sequence[str | Path]) -> Iterator[str | Path]:
    """Yield files and URLs, with each folder replaced by the files that it contains."""
    for item in inputs:
        if isinstance(item, str) and is_url(item):
            yield item
        elif Path(item).is_dir():
            # This module imports pandas, which is not needed to predict on an image.
            from auxface.data.layouts.registry import list_files

            found = list(list_files(Path(item), ("",)))
            if not found:
                raise InputError(f"{item}: the folder has no files")
            yield from found
        else:
            yield Path(item)


def _predict_videos(
    predictor: Predictor, paths: list[str | Path], frames_per_second: float
) -> Iterator[VideoPrediction]:
    for path in paths:
        with progress_bar(f"score {Path(path).name}", 0, "frames") as advance:
            yield predict_video(predictor, Path(path), frames_per_second=frames_per_second, advance=advance)


def _output_path(folder: Path, number: int, name: str) -> Path:
    """Return an output path without suffix that is unique to this input."""
    # This module imports pandas, which is not needed to predict on an image.
    from auxface.data.prepare.file_processing import safe_name

    return folder / f"{number:05d}-{safe_name(Path(name).stem)}"


def _write_overlay(result: Prediction, path: Path, allow_urls: bool) -> None:
    if not result.faces:
        return
    if isinstance(result, VideoPrediction):
        with progress_bar(f"draw {Path(result.input).name}", result.frames, "frames") as advance:
            write_overlay_video(
                Path(result.source),
                path.with_name(path.name + ".mp4"),
                tracks=result.tracks,
                faces=result.faces,
                seconds=result.seconds,
                advance=advance,
            )
        return
    image = draw_boxes(*enlarge_for_labels(to_rgb(result.source, allow_urls=allow_urls), result.faces))
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(np.ascontiguousarray(image)).save(path.with_name(path.name + ".jpg"), quality=92)


def _write_tables(results: list[Prediction], folder: Path) -> None:
    import pandas as pd

    rows = pd.concat([result.to_frame() for result in results], ignore_index=True)
    from auxface.evaluation.csv_cells import escape_cells

    escape_cells(rows).to_csv(folder / "predictions.csv", index=False)
    text = json.dumps([result.to_dict() for result in results], indent=1) + "\n"
    (folder / "predictions.json").write_text(text, encoding="utf-8")
    for number, result in enumerate(results, start=1):
        if isinstance(result, VideoPrediction):
            path = _output_path(folder, number, result.input)
            escape_cells(result.scores_over_time()).to_csv(path.with_name(path.name + ".scores.csv"), index=False)
            result.plot().savefig(path.with_name(path.name + ".scores.png"))
