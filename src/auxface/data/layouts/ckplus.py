"""Layout ``ckplus``: Extended Cohn-Kanade (Lucey et al., 2010): posed expressions from neutral to their peak."""

from pathlib import Path

import pandas as pd

from auxface.data.layouts.registry import Layout, Listing, Option, list_files, read_lines, require_folder
from auxface.data.manifest import Label
from auxface.data.splits import DEFAULT, parse_fractions, split_by_source
from auxface.errors import InputError

CLASSES: tuple[str, ...] = ("neutral", "anger", "contempt", "disgust", "fear", "happy", "sadness", "surprise")


def read(root: Path, *, peak_frames: int = 3, neutral_frames: int = 0, split_fractions: str = DEFAULT) -> Listing:
    """Read the sequences with an emotion label: it applies to their last frames; their first frames are neutral."""
    images = require_folder(root, ("cohn-kanade-images", "extended-cohn-kanade-images/cohn-kanade-images"), "ckplus")
    emotions = require_folder(root, ("Emotion", "Emotion_labels/Emotion"), "ckplus")
    if peak_frames < 1 or neutral_frames < 0:
        raise InputError("layout ckplus: peak_frames must be at least 1 and neutral_frames at least 0")
    rows = []
    for file in list_files(emotions, ("_emotion.txt",)):
        subject, sequence = file.parts[-3:-1]
        emotion = _emotion(file)
        frames = list(list_files(require_folder(images, (f"{subject}/{sequence}",), "ckplus"), (".png",)))
        if len(frames) < peak_frames + neutral_frames:
            raise InputError(
                f"{images / subject / sequence}: {len(frames)} frames, fewer than peak_frames and neutral_frames"
            )
        chosen = [(path, "neutral") for path in frames[:neutral_frames]]
        chosen += [(path, emotion) for path in frames[-peak_frames:]]
        rows += [
            {"path": str(path), "source": subject, "video": f"{subject}_{sequence}", "emotion": what}
            | {"frame": int(path.stem.split("_")[-1])}
            for path, what in chosen
        ]
    if not rows:
        raise InputError(f"{emotions}: there are no label files such as S005/001/S005_001_00000011_emotion.txt")
    table = pd.DataFrame(rows).assign(dataset="ckplus", method="")
    table["split"] = split_by_source(table["source"], parse_fractions(split_fractions))
    classes = CLASSES if neutral_frames else CLASSES[1:]
    return Listing(table, {"emotion": Label("class", classes)}, boundary=root)


def _emotion(file: Path) -> str:
    try:
        return CLASSES[int(float(read_lines(file)[0]))]
    except (ValueError, IndexError):
        raise InputError(f"{file}: expected a number from 1 to 7") from None


layout = Layout(
    "ckplus",
    "CK+: 7 posed emotions, the peak frames of each labeled sequence; splits by subject",
    read,
    (
        Option("peak_frames", int, 3, "number of last frames of each sequence, which show its emotion"),
        Option("neutral_frames", int, 0, "number of first frames of each sequence, labeled neutral"),
        Option("split_fractions", str, DEFAULT, "train,val,test, split by subject"),
    ),
)
