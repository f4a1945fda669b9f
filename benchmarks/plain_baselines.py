"""What a plain classifier makes of a manifest: histograms of oriented gradients and logistic regression, no network.

    python benchmarks/plain_baselines.py faces.parquet --task gender

The strength of the regularization is chosen on validation, the classes count alike in training (as in balanced
accuracy), and every class of the test split counts, however rare.
"""

import argparse
import json
from pathlib import Path

import cv2
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, recall_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from auxface.data.manifest import read_manifest
from auxface.data.samples import load_image_samples

SIDE = 64
STRENGTHS = (1e-4, 1e-3, 1e-2)


def features(images: np.ndarray) -> np.ndarray:
    """Images uint8 [N, 3, 64, 64] to float32 [N, 1764]: cells of 8 pixels, blocks of 2 x 2 cells, 9 directions."""
    describe = cv2.HOGDescriptor((SIDE, SIDE), (16, 16), (8, 8), (8, 8), 9)
    gray = (cv2.cvtColor(np.ascontiguousarray(one.transpose(1, 2, 0)), cv2.COLOR_RGB2GRAY) for one in images)
    return np.stack([np.asarray(describe.compute(one)).ravel() for one in gray])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--task", required=True)
    asked = parser.parse_args()
    manifest = read_manifest(asked.manifest)
    inputs, labels = {}, {}
    for split in ("train", "val", "test"):
        part = load_image_samples(manifest.only(split), split, SIDE)
        known = part.manifest.table[asked.task].notna().to_numpy()
        inputs[split] = features(part.images[known])
        labels[split] = part.manifest.table[asked.task][known].astype(str).to_numpy()
    models = {}
    for strength in STRENGTHS:
        classifier = LogisticRegression(C=strength, class_weight="balanced", max_iter=200)
        model = make_pipeline(StandardScaler(), classifier).fit(inputs["train"], labels["train"])
        models[balanced_accuracy_score(labels["val"], model.predict(inputs["val"]))] = (strength, model)
    best = max(models)
    strength, model = models[best]
    said = model.predict(inputs["test"])
    classes = sorted(set(labels["test"]))
    recall = recall_score(labels["test"], said, labels=classes, average=None)
    found = {"task": asked.task, "balanced_accuracy": round(float(balanced_accuracy_score(labels["test"], said)), 3)}
    found |= {"validation": round(float(best), 3), "C": strength, "images": len(said)}
    found["recall"] = {name: round(float(share), 2) for name, share in zip(classes, recall)}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
