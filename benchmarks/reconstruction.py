"""Measure how much of the texture of masked patches a small L-SSAT model reconstructs.

    python benchmarks/reconstruction.py ROOT --layout utkface [--task gender] [--epochs 20] [--size 64] [--faces 4000]

Prepares a data set, trains, and prints R² of every target on masked patches of the test split, relative to the mean of
training faces at the same place: 0 is as good as that mean.
"""

import json
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import typer

from auxface.data.manifest import read_manifest
from auxface.data.prepare.prepare import prepare
from auxface.data.samples import load_image_samples
from auxface.model.explained_variance import explained_variance
from auxface.provenance import provenance
from auxface.training.train import train


def main(
    root: Path,
    layout: str = "utkface",
    task: str = "gender",
    recipe: str = "l_ssat",
    epochs: int = 20,
    size: int = 64,
    faces: int = 4000,
    seed: int = 0,
):
    """Train RECIPE for EPOCHS on a data set under ROOT; print R² on up to FACES test faces, with means of as many."""
    with TemporaryDirectory() as folder:
        data = Path(folder) / "faces.parquet"
        prepare(layout, root, out=data)
        settings = [
            f"tasks=[{task}]",
            f"train.epochs={epochs}",
            f"encoder.image_size={size}",
            "encoder.width=96",
            "encoder.depth=4",
            "encoder.heads=3",
            "auxiliary.decoder_width=64",
            "auxiliary.decoder_depth=1",
            "auxiliary.decoder_heads=4",
            "train.batch_size=32",
            "train.base_learning_rate=0.008",
            # Targets without augmentation; the last weights are kept, not those that are best at the task.
            "train.augment=none",
            f"train.validate_every={epochs}",
        ]
        start = time.perf_counter()
        saved = train(recipe, data, Path(folder) / "run", overrides=settings, seed=seed, device="cpu")
        seconds = time.perf_counter() - start
        manifest = read_manifest(data)
        seen, held_out = (
            np.asarray(load_image_samples(manifest.only(split), split, size).images[:faces])
            for split in ("train", "test")
        )
        found = explained_variance(saved.model, held_out, seen, seed=seed)
        untrained = explained_variance(
            type(saved.model)(saved.model.recipe, saved.model.tasks), held_out, seen, seed=seed
        )
    facts = provenance(seconds=round(seconds), test_faces=len(held_out), training_faces=len(seen))
    print(json.dumps({"explained": found, "explained_untrained": untrained, **facts}, indent=1))


if __name__ == "__main__":
    typer.run(main)
