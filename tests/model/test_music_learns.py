"""Music is learned: retrieval by instrument on synthetic tracks is better than by mean spectra."""

import numpy as np
import pytest
from PIL import Image

from auxface.data.manifest import read_manifest
from auxface.data.prepare.prepare import prepare
from auxface.evaluation import measure_retrieval
from auxface.inference.embed import embed
from auxface.training.train import train

SETTINGS = (
    "encoder.name=test_resnet",
    "encoder.image_size=48",
    "encoder.output_stride=8",
    "train.batch_size=32",
    "train.base_learning_rate=0.024",
    "train.epochs=16",
    "train.validate_every=16",
)


def mean_spectra(paths):
    """The unit vectors of the centered mean over time of each log-mel image."""
    spectra = np.stack([np.asarray(Image.open(path), dtype=float).mean(axis=1) for path in paths])
    spectra -= spectra.mean(axis=0)
    return spectra / np.linalg.norm(spectra, axis=1, keepdims=True)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_retrieval_by_instrument_is_better_than_by_mean_spectra(tmp_path):
    """The interval of the model, by track, is above the point of the baseline. Some five minutes on one core."""
    data = tmp_path / "tracks.parquet"
    options = {"count": 420, "size": 48, "length": 9.0, "split_fractions": "0.7,0.05,0.25"}
    prepare("synthetic_tracks", tmp_path / "audio", out=data, crops=tmp_path / "images", options=options)
    train("music_metric", data, tmp_path / "run", overrides=list(SETTINGS), device="cpu")
    found = embed(tmp_path / "run", data, tmp_path / "test.parquet", split="test", device="cpu")
    test = read_manifest(data).only("test")
    instruments, tracks = test.table["instrument"], test.table["source"]
    model = measure_retrieval(found.vectors, instruments, clusters=tracks)["map_at_r"]
    baseline = measure_retrieval(mean_spectra(test.paths()), instruments, clusters=tracks)["map_at_r"]
    for name, each in (("model", model), ("mean spectrum", baseline)):
        print(f"{name}: MAP at R {each.value:.3f} ({each.low:.3f} to {each.high:.3f})")
    assert model.low > baseline.value
