"""Synthetic faces: rendering time, accuracy of simple baselines, and a contact sheet.

python benchmarks/synthetic.py time [--count 4000] [--size 64]
python benchmarks/synthetic.py learn [--count 4000]
python benchmarks/synthetic.py sheet docs/images/synthetic_sheet.png
"""

import time as clock
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import typer
from PIL import Image, ImageDraw, ImageFont
from skimage.feature import hog
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from auxface.data.synthetic import (
    EMOTIONS,
    IMAGES_PER_SOURCE,
    SKIN_TONES,
    FaceDescription,
    Scene,
    describe_face,
    render_face,
    render_faces,
    typical_expression,
)

app = typer.Typer(add_completion=False)


@app.command()
def time(count: int = 4000, size: int = 64, workers: int | None = None):
    """Measure the seconds to render COUNT faces."""
    start = clock.perf_counter()
    render_faces(count, size=size, workers=workers)
    seconds = clock.perf_counter() - start
    print(f"{count} faces of {size}x{size}: {seconds:.1f} s, {1000 * seconds / count:.2f} ms a face")


@app.command()
def learn(count: int = 4000, seed: int = 3):
    """Measure the balanced accuracy of simple baselines on the test split: HOG, residual energy, and skin tone only."""
    faces = render_faces(count, seed=seed)
    table = faces.table
    train, test = (table.split == "train").to_numpy(), (table.split == "test").to_numpy()
    gray = (faces.images @ np.array([0.299, 0.587, 0.114], np.float32)) / 255
    shape = np.stack([hog(face, 9, (8, 8), (2, 2)) for face in gray])
    texture = np.stack([_residual(face) for face in faces.images])
    tone = np.eye(len(SKIN_TONES))[[SKIN_TONES.index(name) for name in table.skin_tone]]

    def fit(features, labels):
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=300, class_weight="balanced"))
        return model.fit(features[train], labels[train])

    print(f"{train.sum()} faces to train, {test.sum()} to test; columns: HOG, residual, skin tone only")
    labels = ["emotion", "Smiling", "Eyeglasses", "Wearing_Hat", "Mouth_Slightly_Open", "No_Beard", "Young", "forged"]
    for label in labels:
        truth = table[label].to_numpy()
        scores = [
            balanced_accuracy_score(truth[test], fit(features, truth).predict(features[test]))
            for features in (shape, texture, tone)
        ]
        print(f"{label:20s}" + "".join(f"{score:8.3f}" for score in scores))
    forged = table.forged.to_numpy()
    area = roc_auc_score(forged[test], fit(texture, forged).decision_function(texture[test]))
    print(f"forged, AUC of residual: {area:.3f}")
    truth = table.emotion.to_numpy()
    right = fit(shape, truth).predict(shape[test]) == truth[test]
    light = table.skin_tone.isin(SKIN_TONES[:5]).to_numpy()[test]
    print(
        f"emotion, HOG accuracy: five lightest tones {right[light].mean():.3f}, five darkest {right[~light].mean():.3f}"
    )


def _residual(face):
    image = face.astype(np.float32) / 255
    energy = np.abs(image - cv2.GaussianBlur(image, (0, 0), 1)).mean(2)
    maps = [cv2.resize(layer, (8, 8), interpolation=cv2.INTER_AREA).ravel() for layer in (energy, image)]
    values = np.concatenate(maps)
    return np.concatenate([values, np.log(values + 1e-3)])


@app.command()
def sheet(path: Path, seed: int = 0, tile: int = 120):
    """Render one image with people, emotions, skin tones and forgeries."""
    people = [
        next(
            face
            for face in (describe_face(IMAGES_PER_SOURCE * n + k, seed=seed)[0] for k in range(4))
            if not face.forgery
        )
        for n in range(16)
    ]
    calm = Scene(background=11, light_x=-0.6, noise=0.003)
    model, other = people[2].identity, people[15].identity
    emotions = [FaceDescription(model, typical_expression(name, 0.9), scene=calm) for name in EMOTIONS]
    smile = typical_expression("happy", 0.7)
    tones = [
        FaceDescription(replace(other, skin_tone=tone), smile, scene=replace(calm, background=4)) for tone in SKIN_TONES
    ]
    forged = [face for face in (describe_face(n, seed=seed)[0] for n in range(80)) if face.forgery][:4]
    pairs = [made for face in forged for made in (replace(face, forgery=None), face)]
    rows = [
        ("Sixteen people", people[:8], None),
        (None, people[8:], None),
        ("One person, eight emotions", emotions, EMOTIONS),
        ("One person, ten tones of the Monk scale", tones, [name.removeprefix("monk_") for name in SKIN_TONES]),
        ("Real and forged: a region of another face is blended in", pairs, ["real", "forged"] * 4),
    ]
    width, gap, bar = 8 * tile, 22, 16
    strips = []
    for title, faces, names in rows:
        side = width // len(faces)
        if title:
            strips.append(_caption(title, width, gap, 13))
        strips.append(np.hstack([render_face(face, side) for face in faces]))
        if names:
            strips.append(np.hstack([_caption(name, side, bar, 11, centered=True) for name in names]))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.vstack(strips)).save(path, optimize=True)
    print(f"{path}: {path.stat().st_size / 1e6:.2f} MB")


def _caption(text, width, height, size, centered=False):
    strip = Image.new("RGB", (width, height), (255, 255, 255))
    draw = ImageDraw.Draw(strip)
    position, anchor = ((width / 2, height / 2), "mm") if centered else ((4, height / 2), "lm")
    draw.text(position, text, fill=(40, 40, 40), font=ImageFont.load_default(size), anchor=anchor)
    return np.asarray(strip)


if __name__ == "__main__":
    app()
