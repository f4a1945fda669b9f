"""A video's scores over time, drawn; and the video itself with its faces boxed."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from auxface.atomic import atomic_file
from auxface.data.video.frames import index_video, stream_frames
from auxface.errors import InputError
from auxface.inference.drawing import boxed, legible

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from auxface.inference.predict_video import VideoPrediction

_SHOWN_CLASSES = 6
_COLORS = ("#0072b2", "#d55e00", "#00845f", "#a8558a", "#b27c00", "#3f8fc4")
_DASHES = ("-", "--", ":", "-.")


def timeline_figure(video: "VideoPrediction") -> "Figure":
    """A panel per task, a line per face and class; where a face leaves the image, its line breaks."""
    from matplotlib.figure import Figure

    tasks = list(video.names) or ["nothing"]
    figure = Figure(figsize=(8, 0.9 + 2.1 * len(tasks)), dpi=120, layout="constrained")
    panels = figure.subplots(len(tasks), 1, squeeze=False, sharex=True)[:, 0]
    for axes, task in zip(panels, tasks, strict=True):
        axes.set_ylim(-0.02, 1.02)
        axes.set_xlim(0, max(video.seconds, 0.1))
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", alpha=0.25, linewidth=0.6)
        axes.set_ylabel("score")
        if video.reason:
            axes.text(0.5, 0.5, video.reason, transform=axes.transAxes, ha="center")
            continue
        axes.set_title(f"{task}: {video.tasks[task]} ({video.rule} over frames)", loc="left", fontsize=10)
        shown = _likeliest(video, task)
        for number, (track, scores) in enumerate(zip(video.tracks, video.scores, strict=True)):
            times, broken = np.array(track.seconds), np.diff(track.seconds) > 1.0
            gaps = np.flatnonzero(broken) + 1
            for at, place in enumerate(shown):
                face = f"face {number + 1}: " if len(video.tracks) > 1 else ""
                # One color per class of one face, per face where only one class is shown.
                hue = at if len(shown) > 1 else number
                axes.plot(
                    np.insert(times, gaps, np.nan),
                    np.insert(scores[task][:, place], gaps, np.nan),
                    color=_COLORS[hue % len(_COLORS)],
                    linestyle=_DASHES[(number if len(shown) > 1 else 0) % len(_DASHES)],
                    marker="o" if len(times) < 40 else None,
                    markersize=2.5,
                    linewidth=1.3,
                    label=f"{face}{video.names[task][place]}",
                )
        threshold = video.tasks[task].threshold
        if isinstance(threshold, float):
            axes.axhline(threshold, color="0.3", linewidth=0.8, linestyle=(0, (2, 3)), label="threshold")
        axes.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
    panels[-1].set_xlabel("seconds")
    return figure


def _likeliest(video: "VideoPrediction", task: str) -> list[int]:
    """The classes with the highest mean scores, so that a plot of forty attributes stays legible."""
    mean = np.concatenate([scores[task] for scores in video.scores]).mean(axis=0)
    return sorted(np.argsort(-mean)[:_SHOWN_CLASSES].tolist())


def write_overlay_video(video: "VideoPrediction", out: Path, advance: Callable[..., None] | None = None) -> None:
    """Write the video as MP4 with every face boxed, without sound; streamed in constant memory.

    Raises:
        InputError: PyAV has no encoder for it here, or the input cannot be read (again).
    """
    import av
    from av.error import FFmpegError

    index = index_video(Path(video.source))
    rate = Fraction(len(index) / max(video.seconds, len(index) / 120)).limit_denominator(1001)
    patience = max(2, round(float(rate)))
    with atomic_file(out) as beside:
        try:
            with av.open(str(beside), "w", format="mp4") as container:
                stream = None
                for number, frame in stream_frames(Path(video.source)):
                    even = np.ascontiguousarray(frame[: frame.shape[0] // 2 * 2, : frame.shape[1] // 2 * 2])
                    boxes = _drawn(video, number, even, patience)
                    if stream is None:
                        stream = container.add_stream("libx264", rate=rate)
                        stream.width, stream.height = boxes.shape[1], boxes.shape[0]
                        stream.pix_fmt = "yuv420p"
                    if boxes.shape[:2] != (stream.height, stream.width):
                        continue
                    drawn = av.VideoFrame.from_ndarray(np.ascontiguousarray(boxes), format="rgb24")
                    for packet in stream.encode(drawn):
                        container.mux(packet)
                    if advance is not None:
                        advance(1)
                if stream is not None:
                    for packet in stream.encode():
                        container.mux(packet)
        except (FFmpegError, ValueError) as error:
            raise InputError(f"{out}: the video cannot be written ({error})") from None


def _drawn(video: "VideoPrediction", number: int, frame: np.ndarray, patience: int) -> np.ndarray:
    boxes = [(at, track.box_at(number, patience)) for at, track in enumerate(video.tracks)]
    seen = [(at, box) for at, box in boxes if box is not None]
    from auxface.inference.prediction import Face

    faces = [Face(box, video.faces[at].tasks) for at, box in seen]
    return boxed(*legible(frame, faces), [at for at, _ in seen])
