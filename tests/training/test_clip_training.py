"""A run on clips from H.264 files that is interrupted and resumed."""

import pytest
import torch

from auxface.data.manifest import read_manifest
from auxface.data.prepare.prepare import prepare
from auxface.recipe import load_recipe
from auxface.training.assembly import assemble
from auxface.training.checkpoint import newest_checkpoint
from auxface.training.logging import read_log
from auxface.training.loop import run_training

SETTINGS = (
    "tasks=[forged, emotion]",
    "encoder.image_size=32",
    "encoder.patch_size=8",
    "encoder.num_frames=4",
    "encoder.width=24",
    "encoder.depth=2",
    "encoder.heads=2",
    "encoder.drop_path=0.1",
    "clips.stride=1",
    "clips.per_video=2",
    "auxiliary.decoder_width=12",
    "auxiliary.decoder_depth=1",
    "auxiliary.decoder_heads=2",
    "train.epochs=3",
    "train.batch_size=6",
    "train.base_learning_rate=0.05",
    "train.checkpoint_every=3",
)


class Stopped(Exception):
    pass


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    options = {"count": 24, "size": 32, "length": 6, "split_fractions": "0.5,0.25,0.25"}
    prepare("synthetic_clips", folder / "videos", out=folder / "clips.parquet", options=options)
    return read_manifest(folder / "clips.parquet")


def run(folder, manifest, stop_in=None):
    """Train; stop at the end of epoch ``stop_in``, counted from 1, before its checkpoint is written."""
    parts = assemble(load_recipe("l_ssat_video", SETTINGS), manifest, "cpu")
    steps = parts.loader.steps_per_epoch
    assert steps == 4
    folder.mkdir(exist_ok=True)
    done = 0

    def advance(count, note="", **_):
        nonlocal done
        done += count
        if stop_in is not None and done == stop_in * steps:
            raise Stopped

    return run_training(parts.model, parts.loader, parts.validation, folder=folder, device="cpu", advance=advance)


@pytest.mark.parametrize(("stop_in", "kept"), [(1, 3), (2, 6), (3, 9)])
def test_a_resumed_run_on_clips_equals_an_uninterrupted_one(manifest, tmp_path, stop_in, kept):
    uninterrupted = run(tmp_path / "a", manifest)
    with pytest.raises(Stopped):
        run(tmp_path / "b", manifest, stop_in)
    # An epoch has four steps and a checkpoint is written every three: the run resumes within an epoch.
    newest = newest_checkpoint(tmp_path / "b" / "checkpoint")
    assert newest is not None
    assert int(newest.name) == kept
    resumed = run(tmp_path / "b", manifest)
    first, second = uninterrupted.model.state_dict(), resumed.model.state_dict()
    assert first.keys() == second.keys()
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    assert (uninterrupted.best_epoch, uninterrupted.best_value) == (resumed.best_epoch, resumed.best_value)
    logs = [read_log(tmp_path / name / "log.jsonl").drop(columns="seconds") for name in "ab"]
    assert logs[0].equals(logs[1])
    assert logs[0]["reconstruction.local_binary_pattern_smooth1"].gt(0).all()
