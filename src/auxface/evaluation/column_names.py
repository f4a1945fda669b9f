"""Common column names of predictions tables, and functions that recognize columns by name and content.

>>> named_like(["Y True", "file"], TRUE), class_scores(["P(a)", "p_b"], ["a", "b"])
(['Y True'], {'a': 'P(a)', 'b': 'p_b'})
"""

import re
from collections.abc import Sequence

import pandas as pd

from auxface.evaluation.cell_values import to_numbers
from auxface.evaluation.predictions import text_of

# All names are in lower case, with each run of characters other than letters and digits replaced by "_".
TRUE = {
    "y_true", "ytrue", "true", "truth", "label", "labels", "target", "targets", "gt", "ground_truth", "groundtruth",
    "true_label", "true_class", "actual", "y", "class", "is_fake", "gold", "expected",
}  # fmt: skip
SCORE = {
    "y_score", "yscore", "score", "scores", "prob", "probs", "probability", "proba", "y_prob", "y_proba", "p",
    "pred_score", "pred_prob", "pred_proba", "predicted_prob", "predicted_probability", "prediction_score",
    "y_pred_proba", "y_pred_prob", "model_score", "similarity", "cosine", "cosine_similarity", "sim",
}  # fmt: skip
# Columns with these names hold decisions or scores, depending on their values.
EITHER = {
    "pred", "preds", "prediction", "predictions", "predicted", "y_pred", "ypred", "y_hat", "yhat", "output", "outputs",
    "pred_label", "predicted_label", "predicted_class", "pred_class", "decision", "model_output",
}  # fmt: skip
_STEMS = ("prob", "probs", "proba", "probability", "p", "score", "scores", "y_prob", "y_proba", "y_score", "pred",
          "pred_prob", "softmax", "output", "logit", "logits")  # fmt: skip
GROUP_WORDS = {
    "sex", "gender", "race", "ethnicity", "ethnic", "age", "agegroup", "skin", "skintone", "fitzpatrick", "monk",
    "region", "country", "nationality", "group", "demographic",
}  # fmt: skip
VIDEO = {"video", "video_id", "video_name", "video_path", "video_file", "videoid", "clip", "clip_id", "clip_name"}
SOURCE = {
    "source", "source_id", "subject", "subject_id", "person", "person_id", "identity", "identity_id", "participant",
    "participant_id", "speaker", "speaker_id", "actor", "actor_id", "user_id", "patient_id", "celebrity",
}  # fmt: skip
PATHS = {"path", "image_path", "img_path", "file_path", "filepath", "image", "img", "file", "filename", "file_name",
         "image_file", "frame_path"}  # fmt: skip

# Columns with these names identify the sample of a row if their values are unique.
SAMPLES = {"id", "uid", "uuid", "sample", "sample_id", "image_id", "img_id", "face_id", "example_id", "row_id"}
POSE = {f"{prefix}{angle}" for prefix in ("", "head_", "pose_", "face_") for angle in ("yaw", "pitch", "roll")}
"""Angles of the head."""


def named_like(names: Sequence[str], known: set[str]) -> list[str]:
    """Return the columns with one of the known names, ignoring case, spaces and punctuation."""
    return [name for name in names if plain_name(name) in known]


def sole(names: Sequence[str]) -> str | None:
    """Return the only name; None if there are none or several."""
    return names[0] if len(names) == 1 else None


def plain_name(name: str) -> str:
    """Return a name in lower case, with "_" between its words."""
    return re.sub(r"[\W_]+", "_", name.strip().lower()).strip("_")


def class_scores(names: Sequence[str], labels: Sequence[str]) -> dict[str, str]:
    """Return the score column of each class, for names such as prob_happy, P(happy) or happy, in column order.

    Columns of classes that do not occur, such as prob_disgust, are included if every label has a column.
    """
    if not 2 <= len(labels) <= 200:
        return {}
    places = {plain_name(label): label for label in labels}
    found: dict[str, str] = {}
    extra: dict[str, str] = {}
    for name in names:
        plain = plain_name(name)
        parts = {plain} | {plain.removeprefix(f"{stem}_") for stem in _STEMS} | {
            plain.removesuffix(f"_{stem}") for stem in _STEMS
        }  # fmt: skip
        label = next((places[part] for part in sorted(parts, key=len) if part in places), None)
        if label is not None:
            found.setdefault(label, name)
        elif parts - {plain} and len(parts) > 1:
            extra[min(parts - {plain}, key=len)] = name
    extra = {name: column for name, column in extra.items() if name not in found}
    # Labels 1 to 7 beside columns 0 to 6 can be matched in several ways.
    if extra and len(found) < len(labels) and all(name.isdecimal() for name in [*extra, *labels]):
        return {}
    if len(found) >= 2 and len(labels) > 2:
        found = dict(sorted((found | extra).items(), key=lambda item: names.index(item[1])))
    return found if len(found) >= 2 or (found and len(labels) == 2) else {}


def named_like_scores(free: Sequence[str]) -> list[str]:
    """Return the columns whose names have a prefix or suffix that denotes a score, as in prob_fake or fake_score."""
    return [
        name
        for name in free
        if any(plain_name(name).startswith(f"{stem}_") or plain_name(name).endswith(f"_{stem}") for stem in _STEMS)
        and plain_name(name) not in EITHER
    ]


def decision_pairs(names: Sequence[str]) -> list[tuple[str, str]]:
    """Return pairs of columns with true labels and decisions, such as ``age`` or ``true_age`` and ``predicted_age``.

    >>> decision_pairs(["emotion", "predicted_emotion", "gt_sex", "sex_pred", "confidence"])
    [('emotion', 'predicted_emotion'), ('gt_sex', 'sex_pred')]
    """
    places = {plain_name(name): name for name in names}
    found = []
    for plain, name in places.items():
        base = re.sub("^(pred|predicted)_|_(pred|predicted|prediction)$", "", plain)
        if base and base != plain:
            forms = (f"true_{base}", f"gt_{base}", f"{base}_true", f"{base}_gt", f"real_{base}", f"actual_{base}", base)
            true = next((places[form] for form in forms if form in places), None)
            found += [] if true is None else [(true, name)]
    return found


def holds_decisions(column: pd.Series, labels: Sequence[str]) -> bool | None:
    """Return True if a column holds decisions, False if it holds scores, and None if it holds neither."""
    numbers = to_numbers(column)
    values = set(map(text_of, column.dropna().unique()))
    if numbers is None or values <= set(labels):
        return True
    known = numbers.dropna()
    return not (len(known) and known.between(0, 1).all() and not known.isin([0, 1]).all())


def is_numeric(column: pd.Series) -> bool:
    """Return whether a column holds numbers, possibly as text."""
    return to_numbers(column) is not None


def listed(names: Sequence[str], most: int = 30) -> str:
    """Return names as text, separated by commas; long names and long lists are shortened."""
    shown = [name if len(name) <= 60 else name[:60] + "..." for name in names[:most]]
    return ", ".join(shown) + (f" and {len(names) - most} more" if len(names) > most else "")
