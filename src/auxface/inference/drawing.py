"""Draw boxes and labels of faces on images and videos.

Example::

    draw_boxes(pixels, prediction.faces)            # uint8 [H, W, 3]
    boxes_figure(pixels, prediction.faces)          # matplotlib
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import cache
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from auxface.atomic import atomic_file
from auxface.data.video.frames import index_video, stream_frames
from auxface.errors import InputError
from auxface.inference.answers import Answer, Face
from auxface.inference.face_tracks import Track

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# The colors are distinguishable to people with color vision deficiency (Okabe and Ito, 2008) and light enough for dark
# text.
BOX_COLORS: tuple[tuple[int, int, int], ...] = (
    (240, 228, 66), (86, 180, 233), (230, 159, 0), (0, 200, 150), (230, 150, 195),
)  # fmt: skip
_TEXT_COLOR = (20, 22, 25)
_MAX_LABEL_LINES = 4
_LABEL_WIDTH = 48
# Labels do not fit on an image whose shorter side is less than this.
_MIN_LABEL_SIDE = 240


def draw_boxes(image: np.ndarray, faces: Sequence[Face], numbers: Sequence[int] | None = None) -> np.ndarray:
    """Draw the box and the answers of every face.

    Args:
        image: RGB image, uint8 [H, W, 3]; it is not modified.
        faces: faces to draw.
        numbers: number of each face, which determines the color of the face; by default the index of the face.

    Returns:
        The RGB image with boxes and labels, uint8 [H, W, 3].
    """
    canvas = Image.fromarray(image)
    draw = ImageDraw.Draw(canvas)
    line_width = max(1, round(min(canvas.size) / 240))
    for index, face in enumerate(faces):
        color = BOX_COLORS[(index if numbers is None else numbers[index]) % len(BOX_COLORS)]
        x, y, width, height = face.box
        draw.rectangle((x, y, x + width - 1, y + height - 1), outline=color, width=line_width)
        lines = [
            line for name, answer in face.tasks.items() for line in wrap(f"{name}: {_short(answer)}", _LABEL_WIDTH)
        ]
        if len(lines) > _MAX_LABEL_LINES:
            lines = [*lines[: _MAX_LABEL_LINES - 1], f"and {len(lines) - _MAX_LABEL_LINES + 1} more"]
        _draw_label(draw, canvas.size, face.box, lines, color, line_width)
    return np.asarray(canvas)


def _short(answer: Answer) -> str:
    """Return the label text of an answer; for a multi-label task, only reliable attributes are included."""
    return str(answer) if not isinstance(answer.answer, list) else ", ".join(answer.headline) or "no certain attribute"


def enlarge_for_labels(image: np.ndarray, faces: Sequence[Face]) -> tuple[np.ndarray, list[Face]]:
    """Enlarge an image and the boxes of its faces by an integer factor if the image is too small for labels.

    Args:
        image: RGB image, uint8 [H, W, 3].
        faces: faces of the image.

    Returns:
        The enlarged image and its faces, or both unchanged if the image is large enough.
    """
    factor = -(-_MIN_LABEL_SIDE // min(image.shape[:2]))
    if factor < 2:
        return image, list(faces)
    height, width = image.shape[:2]
    large = Image.fromarray(image).resize((width * factor, height * factor), Image.Resampling.BICUBIC)
    scaled = [replace(face, box=tuple(factor * value for value in face.box)) for face in faces]
    return np.asarray(large), scaled


def _draw_label(
    draw: ImageDraw.ImageDraw,
    size: tuple[int, int],
    box: tuple[float, float, float, float],
    lines: list[str],
    color: tuple[int, int, int],
    line_width: int,
) -> None:
    text = "\n".join(lines)
    points = max(9, round(min(size) / 34))
    while True:
        font = _font(points)
        left, top, right, bottom = draw.multiline_textbbox((0, 0), text, font=font, spacing=2)
        width, height = right - left + 4 * line_width + 4, bottom - top + 2 * line_width + 4
        if width <= size[0] or points <= 7:
            break
        points -= 1
    x = min(max(0.0, box[0]), max(0.0, size[0] - width))
    # Place the label above the box if it fits, otherwise below the box, otherwise inside.
    y = box[1] - height
    if y < 0:
        y = box[1] + box[3]
    if y + height > size[1]:
        y = max(0.0, min(box[1], size[1] - height))
    draw.rectangle((x, y, x + width, y + height), fill=color)
    place = (x + 2 * line_width + 2 - left, y + line_width + 2 - top)
    draw.multiline_text(place, text, fill=_TEXT_COLOR, font=font, spacing=2)


@cache
def _font(points: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    import matplotlib

    try:
        return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), points)
    except OSError:
        return ImageFont.load_default(points)


def write_overlay_video(
    source: Path,
    out: Path,
    *,
    tracks: Sequence[Track],
    faces: Sequence[Face],
    seconds: float,
    advance: Callable[..., None] | None = None,
) -> None:
    """Write a copy of a video, with boxes and labels but without sound, as H.264 MP4, using constant memory.

    Args:
        source: path of the video, which is decoded again.
        out: path of the file to write.
        tracks: tracks of the faces in the video.
        faces: one face with answers per track, in the order of ``tracks``.
        seconds: duration of the video in seconds.
        advance: callback that receives the number of frames written.

    Raises:
        InputError: PyAV has no H.264 encoder on this machine, or the source can no longer be read.
    """
    import av
    from av.error import FFmpegError

    index = index_video(source)
    rate = Fraction(len(index) / max(seconds, len(index) / 120)).limit_denominator(1001)
    patience = max(2, round(float(rate)))
    with atomic_file(out) as temporary:
        try:
            with av.open(str(temporary), "w", format="mp4") as container:
                stream = None
                for number, frame in stream_frames(source):
                    # H.264 requires an even width and height.
                    even = np.ascontiguousarray(frame[: frame.shape[0] // 2 * 2, : frame.shape[1] // 2 * 2])
                    drawn = _draw_frame(even, number, tracks, faces, patience)
                    if stream is None:
                        stream = container.add_stream("libx264", rate=rate)
                        stream.width, stream.height = drawn.shape[1], drawn.shape[0]
                        stream.pix_fmt = "yuv420p"
                    if drawn.shape[:2] != (stream.height, stream.width):
                        continue
                    image = av.VideoFrame.from_ndarray(np.ascontiguousarray(drawn), format="rgb24")
                    for packet in stream.encode(image):
                        container.mux(packet)
                    if advance is not None:
                        advance(1)
                if stream is not None:
                    for packet in stream.encode():
                        container.mux(packet)
        except (FFmpegError, ValueError) as error:
            raise InputError(f"{out}: the video cannot be written ({error})") from None


def _draw_frame(
    frame: np.ndarray, number: int, tracks: Sequence[Track], faces: Sequence[Face], patience: int
) -> np.ndarray:
    boxes = [(index, track.box_at(number, patience)) for index, track in enumerate(tracks)]
    visible = [(index, box) for index, box in boxes if box is not None]
    drawn = [Face(box, faces[index].tasks) for index, box in visible]
    return draw_boxes(*enlarge_for_labels(frame, drawn), [index for index, _ in visible])


def boxes_figure(image: np.ndarray, faces: Sequence[Face], title: str | None = None) -> "Figure":
    """Draw an RGB image, uint8 [H, W, 3], with boxes and labels as a matplotlib figure."""
    from matplotlib.figure import Figure

    drawn = draw_boxes(image, faces)
    height, width = drawn.shape[:2]
    scale = 7 / max(height, width)
    figure = Figure(figsize=(width * scale, height * scale + (0.35 if title else 0)), dpi=120)
    axes = figure.subplots()
    axes.imshow(drawn)
    axes.axis("off")
    if title:
        axes.set_title(title, fontsize=10, parse_math=False)
    figure.subplots_adjust(left=0, right=1, bottom=0, top=0.93 if title else 1)
    return figure
