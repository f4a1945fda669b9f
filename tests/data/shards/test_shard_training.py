"""Training from shards: the same images, each once, partitioned evenly; a resumed run equals an uninterrupted one."""

from itertools import pairwise

import layout_trees
import numpy as np
import pytest
import torch

from auxface.data.manifest import read_manifest
from auxface.data.prepare.prepare import prepare
from auxface.data.samples import load_image_samples, load_samples, load_training_samples
from auxface.data.shards import ShardImages, index_shards, write_shards
from auxface.data.show import show_data
from auxface.errors import InputError
from auxface.recipe import Encoder, Recipe, ReconstructionOptions, Train, load_recipe
from auxface.training.data_loader import DataLoader
from auxface.training.train import check, resume, train
from auxface.training.train_step import split_micro_batches

SIDE = 32


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A manifest and its shards: 23 training images in shards of four, the last of three."""
    folder = tmp_path_factory.mktemp("shards")
    for split, count in (("train", 23), ("val", 6), ("test", 3)):
        for number in range(count):
            layout_trees.image(folder / "data" / split / ("a" if number % 2 else "b") / f"{number}.png", side=40)
    prepare("folder", folder / "data", out=folder / "m.parquet")
    write_shards(folder / "m.parquet", folder / "s", samples=4)
    return folder


@pytest.fixture
def images(place):
    return index_shards(read_manifest(place / "s").only("train"), SIDE)


def loader_of(images, **options):
    settings = {"seed": 3, "batch_size": 5, "augment": "light", "size": SIDE, **options}
    labels = {"class": torch.zeros(len(images))}
    return DataLoader(images=images, labels=labels, shards=torch.from_numpy(images.shards), **settings)


def recipe(**options):
    return Recipe(
        primary_weight=0.5,
        auxiliary=ReconstructionOptions(decoder_width=32, decoder_depth=1, decoder_heads=4),
        encoder=Encoder(image_size=SIDE, patch_size=8, width=32, depth=1, heads=4),
        train=Train(**{"epochs": 3, "batch_size": 6, "precision": "fp32", "checkpoint_every": 1, **options}),
    )


@pytest.mark.parametrize("name", ["m.parquet", "s"])
def test_only_evaluation_images_are_cropped(place, name, tmp_path, monkeypatch):
    """Of 40 by 40 pixels the central 20 by 20; the images of training are whole."""
    monkeypatch.setenv("AUXFACE_CACHE", str(tmp_path))
    opened = read_manifest(place / name).only("train")
    cropped, whole = (
        load_recipe("supervised", ["encoder.image_size=20", "encoder.patch_size=4", f"encoder.evaluation_crop={kept}"])
        for kept in (0.5, 1)
    )
    found = load_samples(opened, "val", cropped).images
    full = np.asarray(load_image_samples(opened, "val", 40).images)
    assert np.array_equal(np.asarray(found), full[:, :, 10:30, 10:30])
    training = [load_training_samples(opened, "train", recipe).images for recipe in (cropped, whole)]
    assert np.array_equal(np.asarray(training[0]), np.asarray(training[1]))


def test_sharded_images_index_as_the_decoded_array(place, images, tmp_path, monkeypatch):
    monkeypatch.setenv("AUXFACE_CACHE", str(tmp_path))
    opened = read_manifest(place / "m.parquet").only("train")
    by_source = dict(zip(opened.table["source"], load_image_samples(opened, "train", SIDE).images, strict=True))
    expected = np.stack([by_source[source] for source in read_manifest(place / "s").only("train").table["source"]])
    assert images.shape == expected.shape
    assert images.dtype == expected.dtype
    assert np.array_equal(np.asarray(images), expected)
    for rows in (np.array([7, 0, 7, 22]), slice(3, 9), slice(1, None, 3), -2, expected[:, 0, 0, 0] > 99):
        assert np.array_equal(np.asarray(images[rows]), expected[rows])
    assert isinstance(images[2:4], ShardImages)
    with pytest.raises(IndexError):
        images[np.array([23])]


@pytest.mark.parametrize("at_once", [1, 2, 16])
def test_an_epoch_reads_a_few_shards_at_a_time(images, monkeypatch, at_once):
    monkeypatch.setattr("auxface.training.data_loader._SHARDS_AT_ONCE", at_once)
    loader = loader_of(images)
    orders = [loader.order(epoch) for epoch in range(4)]
    for order in orders:
        assert sorted(order.tolist()) == list(range(23))
        shards = images.shards[order.numpy()]
        span = {shard: np.flatnonzero(shards == shard)[[0, -1]] for shard in range(6)}
        turns = sorted(span, key=lambda shard: span[shard][0])
        groups = [turns[start : start + at_once] for start in range(0, 6, at_once)]
        # A group of shards ends before the next one begins.
        for group, following in pairwise(groups):
            assert max(span[shard][1] for shard in group) < min(span[shard][0] for shard in following)
    assert torch.equal(orders[1], loader_of(images).order(1))
    assert not torch.equal(orders[0], orders[1])
    assert not torch.equal(orders[0], loader_of(images, seed=4).order(0))


@pytest.mark.parametrize("ranks", [1, 2, 3, 7])
def test_processes_run_equal_batches_and_read_each_image_once(images, ranks):
    loader = loader_of(images)
    counted: list[int] = []
    for indices in loader.draws(2):
        shares = [split_micro_batches(indices, ranks=ranks, rank=rank, accumulate=1) for rank in range(ranks)]
        assert [len(parts) for parts in shares] == [1] * ranks
        # A micro-batch of scale 0 holds an image that does not count, so that its process takes part.
        taken = [number for (part,) in shares if part.scale for number in part.draws.tolist()]
        assert sorted(taken) == sorted(indices.tolist())
        counted += taken
    assert sorted(counted) == list(range(23))


def test_a_resumed_run_equals_an_uninterrupted_one(place, tmp_path, monkeypatch):
    unbroken = train(recipe(), place / "s", tmp_path / "a", device="cpu")
    real, loaded = DataLoader.batch, []

    def stop(self, *arguments):
        loaded.append(1)
        if len(loaded) == 7:
            raise KeyboardInterrupt
        return real(self, *arguments)

    monkeypatch.setattr(DataLoader, "batch", stop)
    with pytest.raises(KeyboardInterrupt):
        train(recipe(), place / "s", tmp_path / "b", device="cpu")
    monkeypatch.undo()
    resumed = resume(tmp_path / "b", device="cpu")
    for name, value in unbroken.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name
    assert unbroken.config.selection == resumed.config.selection


def test_a_folder_of_shards_is_not_an_input_of_data(place, tmp_path):
    for verb in (show_data, write_shards):
        with pytest.raises(InputError, match="the manifest from which the shards were written"):
            verb(place / "s", tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_the_dry_run_reads_from_shards(place):
    assert check(recipe(), place / "s", device="cpu").steps == 3 * 4


def test_corrupt_shards_are_refused_naming_the_file(place, tmp_path):
    opened = read_manifest(place / "s")
    (tmp_path / "s").mkdir()
    for file in (place / "s").iterdir():
        (tmp_path / "s" / file.name).write_bytes(file.read_bytes())
    broken = tmp_path / "s" / opened.table["path"].iloc[0].split("/")[0]
    whole = broken.read_bytes()
    broken.write_bytes(whole[: len(whole) // 2 // 512 * 512])
    for manifest in (tmp_path / "s", tmp_path / "s" / "manifest.parquet"):
        with pytest.raises(InputError, match=rf"{broken.name}: .*(truncated|not a readable)"):
            index_shards(read_manifest(manifest), SIDE)
    broken.write_bytes(whole)
    images = index_shards(read_manifest(tmp_path / "s"), SIDE)
    broken.write_bytes(whole[: int(images.starts[0])] + bytes(int(images.lengths[0])) + whole[2000:])
    with pytest.raises(InputError, match="cannot be read"):
        images[np.array([0])]
    broken.unlink()
    with pytest.raises(InputError, match="no such shard"):
        index_shards(read_manifest(tmp_path / "s"), SIDE)
    (tmp_path / "s" / "shards.json").unlink()
    with pytest.raises(InputError, match=r"shards\.json is missing"):
        train(recipe(), tmp_path / "s", tmp_path / "m", device="cpu")
    assert not (tmp_path / "m").exists()
