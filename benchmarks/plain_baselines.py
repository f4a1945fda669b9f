"""Measure a simple baseline on a manifest: histograms of oriented gradients and logistic regression.

    python benchmarks/plain_baselines.py faces.parquet --task gender

The strength of the regularization is chosen on the validation split. Training weights the classes equally, as balanced
accuracy does. Every class of the test split counts, however rare.
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
    """Return HOG features, float32 [N, 1764], of images uint8 [N, 3, 64, 64]: 8-pixel cells, 2 x 2 blocks, 9 bins."""
    descriptor = cv2.HOGDescriptor((SIDE, SIDE), (16, 16), (8, 8), (8, 8), 9)
    gray = (cv2.cvtColor(np.ascontiguousarray(one.transpose(1, 2, 0)), cv2.COLOR_RGB2GRAY) for one in images)
    return np.stack([np.asarray(descriptor.compute(one)).ravel() for one in gray])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--task", required=True)
    arguments = parser.parse_args()
    manifest = read_manifest(arguments.manifest)
    inputs, labels = {}, {}
    for split in ("train", "val", "test"):
        part = load_image_samples(manifest.only(split), split, SIDE)
        known = part.manifest.table[arguments.task].notna().to_numpy()
        inputs[split] = features(part.images[known])
        labels[split] = part.manifest.table[arguments.task][known].astype(str).to_numpy()
    models = {}
    for strength in STRENGTHS:
        classifier = LogisticRegression(C=strength, class_weight="balanced", max_iter=200)
        model = make_pipeline(StandardScaler(), classifier).fit(inputs["train"], labels["train"])
        models[balanced_accuracy_score(labels["val"], model.predict(inputs["val"]))] = (strength, model)
    best = max(models)
    strength, model = models[best]
    predicted = model.predict(inputs["test"])
    classes = sorted(set(labels["test"]))
    recall = recall_score(labels["test"], predicted, labels=classes, average=None)
    found = {
        "task": arguments.task,
        "balanced_accuracy": round(float(balanced_accuracy_score(labels["test"], predicted)), 3),
    }
    found |= {"validation": round(float(best), 3), "C": strength, "images": len(predicted)}
    found["recall"] = {name: round(float(value), 2) for name, value in zip(classes, recall)}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
