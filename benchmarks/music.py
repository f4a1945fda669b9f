"""Retrieval by instrument and tags on synthetic tracks: NT-Xent as an auxiliary, and without it.

    python benchmarks/music.py --out results/music

Draws tracks, trains each recipe on the tags, and measures the test tracks: retrieval of
excerpts of the same instrument from other tracks (MAP at R, recall at 1) and the mean AUC of the tags. The baselines
are the mean spectrum of an excerpt (over time, centered) and its raw pixels. Intervals are by track. Prints one line
per figure; ``metric_learning`` has the encoder and views of ``music_metric`` without the auxiliary.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

import auxface
from auxface.data.manifest import read_manifest
from auxface.evaluation import measure_retrieval
from auxface.inference.embed import read_embeddings
from auxface.provenance import machine_kind

SETTINGS = ("encoder.image_size=64", "train.batch_size=64", "train.base_learning_rate=0.004")
PLAIN = ("primary.view=clean", "train.augment=none", "encoder.name=resnet10t", "train.mirror=false", "tasks=[tags]")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=600)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--recipes", nargs="+", default=["metric_learning", "music_metric"])
    given = parser.parse_args()
    data = given.out / "tracks.parquet"
    if not data.exists():
        options = {"count": given.count}
        auxface.prepare("synthetic_tracks", given.out / "audio", out=data, crops=given.out / "images", options=options)
    print(f"machine: {machine_kind()}", flush=True)
    test = read_manifest(data).only("test")
    for name, vectors in baselines(test.paths()).items():
        show(name, measure_retrieval(vectors, test.table["instrument"], clusters=test.table["source"]))
    for recipe in given.recipes:
        for seed in given.seeds:
            run, began = given.out / f"{recipe}_{seed}", time.perf_counter()
            settings = [*SETTINGS, f"train.epochs={given.epochs}", f"seed={seed}"]
            settings += PLAIN if recipe == "metric_learning" else ()
            auxface.train(recipe, data, run, overrides=settings, warn=print)
            seconds = time.perf_counter() - began
            auxface.embed(run, data, run / "test.parquet", split="test")
            found = read_embeddings(run / "test.parquet")
            instruments = found.table["group.instrument"]
            retrieval = measure_retrieval(found.vectors, instruments, clusters=found.table["source"])
            show(f"{recipe}, seed {seed}", retrieval)
            auxface.evaluate(run, data, run / "eval", corruptions=())
            report = json.loads((run / "eval" / "report.json").read_text())
            show(f"{recipe}, seed {seed}, tags", report["tasks"]["tags"]["overall"])
            commit = json.loads((run / "config.json").read_text())["provenance"].get("commit", "unknown")
            print(f"{recipe}, seed {seed}: {seconds:.0f} s, commit {commit}", flush=True)


def baselines(paths: list[Path]) -> dict[str, np.ndarray]:
    """Return the unit vectors of the mean spectrum and of the raw pixels of each image."""
    images = np.stack([np.asarray(Image.open(path).convert("L"), dtype=np.float64) for path in paths])
    found = {"mean spectrum": images.mean(axis=2), "raw pixels": images.reshape(len(images), -1)}
    centered = {name: vectors - vectors.mean(axis=0) for name, vectors in found.items()}
    return {name: vectors / np.linalg.norm(vectors, axis=1, keepdims=True) for name, vectors in centered.items()}


def show(what: str, figures: dict) -> None:
    """Print MAP at R, recall at 1 and AUC with their intervals."""
    for name in ("map_at_r", "recall_at_1", "auc"):
        each = figures.get(name)
        each = each if each is None or isinstance(each, dict) else each.to_dict()
        if each is not None and each["value"] is not None and not pd.isna(each["value"]):
            print(f"{what}: {name} {each['value']:.3f} ({each['low']:.3f} to {each['high']:.3f})", flush=True)


if __name__ == "__main__":
    main()
