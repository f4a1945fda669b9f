"""Predictions for one input: faces with answers, available as objects, JSON, a table or a figure.

Example::

    prediction = predictor("photo.jpg")
    prediction.faces[0].tasks["emotion"].answer
    prediction.to_dict(), prediction.to_frame(), prediction.plot()
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from auxface.data.images.decode import UnreadableImage
from auxface.errors import InputError
from auxface.inference.answers import Answer, Face
from auxface.inference.drawing import boxes_figure
from auxface.inference.face_tracks import Track
from auxface.inference.preprocessing import to_rgb

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

NO_FACE = "no face found"
_MAX_CLASSES = 6
_LINE_COLORS = ("#0072b2", "#d55e00", "#00845f", "#a8558a", "#b27c00", "#3f8fc4")
_DASHES = ("-", "--", ":", "-.")
COLUMNS = (
    "input",
    "face",
    "task",
    "class",
    "probability",
    "abstained",
    "learned",
    "x",
    "y",
    "width",
    "height",
    "reason",
)


@dataclass(frozen=True)
class Prediction:
    """The prediction for one input.

    Attributes:
        input: path or URL of the input, or a name with its position among the inputs.
        faces: all faces in the input, from left to right.
        reason: reason why ``faces`` is empty; None if ``faces`` is not empty.
        source: input itself, used by :meth:`plot`.
    """

    input: str
    faces: tuple[Face, ...]
    reason: str | None = None
    source: Any = field(default=None, repr=False, compare=False)

    @property
    def unreadable(self) -> bool:
        """Whether the input could not be read as an image or video; False if it could be read but shows no face."""
        return self.reason is not None and not self.reason.startswith(NO_FACE)

    def to_dict(self) -> dict[str, Any]:
        """Return the prediction in the form that ``predict --json`` prints."""
        return {"input": self.input, "reason": self.reason, "faces": [face.to_dict() for face in self.faces]}

    def to_frame(self) -> "pd.DataFrame":
        """Return a table with one row per face and task and the columns :data:`COLUMNS`.

        For a prediction without faces, the table has one row with the reason.
        """
        import pandas as pd

        rows = [
            {
                "input": self.input,
                "face": number,
                "task": name,
                "class": "|".join(answer.answer) if isinstance(answer.answer, list) else answer.answer,
                "probability": answer.probability,
                "abstained": answer.abstained,
                "learned": answer.learned,
            }
            | dict(zip(("x", "y", "width", "height"), face.box, strict=True))
            for number, face in enumerate(self.faces)
            for name, answer in face.tasks.items()
        ]
        return pd.DataFrame(rows or [{"input": self.input, "reason": self.reason}], columns=list(COLUMNS))

    def plot(self) -> "Figure":
        """Draw the image with boxes and labels as a matplotlib figure.

        Raises:
            InputError: the input can no longer be read.
        """
        if self.source is None:
            raise InputError(f"{self.input}: the prediction does not hold its image, so it cannot be drawn")
        try:
            image = to_rgb(self.source)
        except UnreadableImage as error:
            raise InputError(f"{self.input}: {error}") from None
        return boxes_figure(image, self.faces, self.reason)


@dataclass(frozen=True)
class VideoPrediction(Prediction):
    """The prediction for one video. ``faces`` has one entry per track: the largest box of the track, and its answers.

    Attributes:
        tasks: answer for the whole video, by task; the stored rule is applied to the largest face in each frame.
        rule: rule that combines the scores of the frames: ``mean``, ``median`` or ``max``.
        tracks: tracks of the faces, in the order of ``faces``.
        scores: calibrated probabilities [frames, outputs] by task, for each track.
        names: names of the score columns, by task.
        scored_frames: number of scored frames, out of ``frames``.
        frames: number of frames in the video.
        seconds: duration of the video in seconds.
    """

    tasks: dict[str, Answer] = field(default_factory=dict)
    rule: str = "mean"
    tracks: tuple[Track, ...] = ()
    scores: tuple[dict[str, np.ndarray], ...] = field(default=(), repr=False, compare=False)
    names: dict[str, tuple[str, ...]] = field(default_factory=dict)
    scored_frames: int = 0
    frames: int = 0
    seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return the same data as for an image, with the answers and scores over time under the key ``video``."""
        tracks = [
            {
                "frames": track.frames,
                "seconds": [round(time, 3) for time in track.seconds],
                "boxes": [[round(value, 1) for value in box] for box in track.boxes],
                "scores": {
                    task: {
                        name: [round(value, 5) for value in scores[task][:, column].tolist()]
                        for column, name in enumerate(self.names[task])
                    }
                    for task in scores
                },
            }
            for track, scores in zip(self.tracks, self.scores, strict=True)
        ]
        video = {
            "frames": self.frames,
            "looked_at": self.scored_frames,
            "seconds": round(self.seconds, 3),
            "rule": self.rule,
            "tasks": {name: answer.to_dict() for name, answer in self.tasks.items()},
            "tracks": tracks,
        }
        return super().to_dict() | {"video": video}

    def scores_over_time(self) -> "pd.DataFrame":
        """Return a table with one row per face and frame: face, frame, seconds, box, and ``score.<task>.<class>``."""
        import pandas as pd

        parts = []
        for number, (track, scores) in enumerate(zip(self.tracks, self.scores, strict=True)):
            columns: dict[str, Any] = {"face": number, "frame": track.frames, "seconds": track.seconds}
            columns |= dict(zip(("x", "y", "width", "height"), np.array(track.boxes).T, strict=True))
            for task, names in self.names.items():
                columns |= {f"score.{task}.{name}": scores[task][:, column] for column, name in enumerate(names)}
            parts.append(pd.DataFrame(columns))
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["face", "frame", "seconds"])

    def plot(self) -> "Figure":
        """Plot the scores over time as a matplotlib figure with one panel per task and one line per face and class.

        A line is interrupted where its face is not detected for more than one second.
        """
        return _scores_figure(self)


def _scores_figure(prediction: VideoPrediction) -> "Figure":
    from matplotlib.figure import Figure

    tasks = list(prediction.names) or ["no task"]
    figure = Figure(figsize=(8, 0.9 + 2.1 * len(tasks)), dpi=120, layout="constrained")
    panels = figure.subplots(len(tasks), 1, squeeze=False, sharex=True)[:, 0]
    for axes, task in zip(panels, tasks, strict=True):
        axes.set_ylim(-0.02, 1.02)
        axes.set_xlim(0, max(prediction.seconds, 0.1))
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", alpha=0.25, linewidth=0.6)
        axes.set_ylabel("score")
        if prediction.reason:
            axes.text(0.5, 0.5, prediction.reason, transform=axes.transAxes, ha="center", parse_math=False)
            continue
        axes.set_title(
            f"{task}: {prediction.tasks[task]} ({prediction.rule} over frames)",
            loc="left",
            fontsize=10,
            parse_math=False,
        )
        classes = _most_likely_classes(prediction, task)
        for number, (track, scores) in enumerate(zip(prediction.tracks, prediction.scores, strict=True)):
            times = np.array(track.seconds)
            gaps = np.flatnonzero(np.diff(track.seconds) > 1.0) + 1
            for rank, column in enumerate(classes):
                face = f"face {number + 1}: " if len(prediction.tracks) > 1 else ""
                # With several classes, colors denote classes and dashes denote faces; with one class, colors denote
                # faces.
                color, dash = (rank, number) if len(classes) > 1 else (number, 0)
                axes.plot(
                    np.insert(times, gaps, np.nan),
                    np.insert(scores[task][:, column], gaps, np.nan),
                    color=_LINE_COLORS[color % len(_LINE_COLORS)],
                    linestyle=_DASHES[dash % len(_DASHES)],
                    marker="o" if len(times) < 40 else None,
                    markersize=2.5,
                    linewidth=1.3,
                    label=f"{face}{prediction.names[task][column]}",
                )
        threshold = prediction.tasks[task].threshold
        if isinstance(threshold, float):
            axes.axhline(threshold, color="0.3", linewidth=0.8, linestyle=(0, (2, 3)), label="threshold")
        legend = axes.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
        for text in legend.get_texts():
            # A class name such as $x$ must not be parsed as a formula.
            text.set_parse_math(False)
    panels[-1].set_xlabel("seconds")
    return figure


def _most_likely_classes(prediction: VideoPrediction, task: str) -> list[int]:
    """Return the indices of the classes with the highest mean scores; a plot of all classes could be unreadable."""
    mean = np.concatenate([scores[task] for scores in prediction.scores]).mean(axis=0)
    return sorted(np.argsort(-mean)[:_MAX_CLASSES].tolist())
