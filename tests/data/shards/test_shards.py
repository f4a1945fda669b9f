"""Shards: complete, reproducible, partitioned without loss, resumable, and readable by other programs."""

import json
import tarfile

import layout_trees
import numpy as np
import pytest
from torch.utils.data import DataLoader

from auxface.data.images.decode import fit_square, read_image
from auxface.data.manifest import read_manifest
from auxface.data.prepare.prepare import prepare
from auxface.data.shards import ShardDataset, count_samples, read_shards, write_shards
from auxface.errors import InputError


@pytest.fixture
def manifest(tmp_path):
    for split, count in (("train", 23), ("val", 4), ("test", 3)):
        for number in range(count):
            layout_trees.image(tmp_path / "data" / split / ("a" if number % 2 else "b") / f"{number}.png")
    prepare("folder", tmp_path / "data", out=tmp_path / "m.parquet")
    return tmp_path / "m.parquet"


def rows_of(folder, **options):
    return [sample.row for sample in read_shards(folder, "train", size=16, **options)]


def test_every_image_is_read_once_with_its_row(manifest, tmp_path):
    made = write_shards(manifest, tmp_path / "s", samples=5)
    assert (made.shards, made.samples, made.unreadable) == (7, 30, 0)
    opened = read_manifest(manifest)
    train = set(np.flatnonzero(opened.table["split"] == "train"))
    samples = list(read_shards(tmp_path / "s", "train", size=16))
    assert sorted(sample.row for sample in samples) == sorted(train)
    for sample in samples:
        expected = opened.table.iloc[sample.row]
        assert sample.values["class"] == expected["class"]
        image = fit_square(read_image(opened.root / expected["path"]), 16)
        assert np.array_equal(sample.image, image.transpose(2, 0, 1))
    assert read_manifest(tmp_path / "s" / "manifest.parquet").labels == opened.labels
    assert count_samples(tmp_path / "s", "val") == 4


def test_the_order_depends_on_seed_and_epoch_only(manifest, tmp_path):
    write_shards(manifest, tmp_path / "s", samples=5)
    first = rows_of(tmp_path / "s", seed=1, epoch=0)
    assert first == rows_of(tmp_path / "s", seed=1, epoch=0)
    assert first != rows_of(tmp_path / "s", seed=1, epoch=1)
    assert first != rows_of(tmp_path / "s", seed=2, epoch=0)
    assert rows_of(tmp_path / "s", seed=None) == rows_of(tmp_path / "s", seed=None, epoch=4)


@pytest.mark.parametrize("readers", [1, 2, 3, 5, 8])
def test_readers_partition_the_split_without_loss(manifest, tmp_path, readers):
    write_shards(manifest, tmp_path / "s", samples=5)
    shares = [rows_of(tmp_path / "s", reader=reader, readers=readers) for reader in range(readers)]
    if readers > 5:  # more than there are shards
        assert max(map(len, shares)) - min(map(len, shares)) <= 1
    assert all(shares)
    assert sorted(row for share in shares for row in share) == sorted(rows_of(tmp_path / "s"))


def test_workers_and_processes_partition_the_split(manifest, tmp_path, monkeypatch):
    write_shards(manifest, tmp_path / "s", samples=5)
    monkeypatch.setenv("WORLD_SIZE", "2")
    rows = []
    for rank in range(2):
        monkeypatch.setenv("RANK", str(rank))
        data = ShardDataset(tmp_path / "s", "train", size=16)
        data.set_epoch(3)
        rows += [sample.row for batch in DataLoader(data, 4, num_workers=2, collate_fn=list) for sample in batch]
    assert sorted(rows) == sorted(rows_of(tmp_path / "s"))


def test_an_interrupted_run_resumes_to_equal_shards(manifest, tmp_path):
    calls = []

    def stop(done, total):
        calls.append(done)
        if len(calls) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_shards(manifest, tmp_path / "s", samples=5, progress=stop)
    with pytest.raises(InputError, match=r"shards\.json is missing"):
        rows_of(tmp_path / "s")
    kept = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "s").glob("*.tar")}
    assert len(kept) == 3
    write_shards(manifest, tmp_path / "s", samples=5)
    assert kept.items() <= {path.name: path.stat().st_mtime_ns for path in (tmp_path / "s").glob("*.tar")}.items()
    write_shards(manifest, tmp_path / "whole", samples=5)
    for path in (tmp_path / "whole").glob("*.tar"):
        assert path.read_bytes() == (tmp_path / "s" / path.name).read_bytes()


def test_other_settings_need_overwrite(manifest, tmp_path):
    write_shards(manifest, tmp_path / "s", samples=5)
    with pytest.raises(InputError, match="--overwrite"):
        write_shards(manifest, tmp_path / "s", samples=6)
    assert write_shards(manifest, tmp_path / "s", samples=6, overwrite=True).shards == 6
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match=r"'thesis\.tex'.*choose another output"):
        write_shards(manifest, tmp_path / "mine", overwrite=True)
    assert (tmp_path / "mine" / "thesis.tex").exists()


@pytest.mark.parametrize("name", ["thesis.tex", ".notes", "train-000001.tar"])
def test_overwrite_keeps_foreign_files_among_the_shards(manifest, tmp_path, name):
    write_shards(manifest, tmp_path / "s", samples=5)
    (tmp_path / "s" / name).write_text("mine")
    with pytest.raises(InputError, match=f"'{name}'"):
        write_shards(manifest, tmp_path / "s", samples=6, overwrite=True)
    assert (tmp_path / "s" / name).read_text() == "mine"
    assert (tmp_path / "s" / "train-000000.tar").exists()


def test_a_repeated_run_keeps_files_it_did_not_write(manifest, tmp_path):
    write_shards(manifest, tmp_path / "s", samples=5)
    (tmp_path / "s" / ".notes").write_text("mine")
    write_shards(manifest, tmp_path / "s", samples=5)
    (tmp_path / "s" / "rejected.csv").write_text("mine")
    with pytest.raises(InputError, match=r"'rejected\.csv' has changed"):
        write_shards(manifest, tmp_path / "s", samples=5)
    assert [(tmp_path / "s" / name).read_text() for name in (".notes", "rejected.csv")] == ["mine", "mine"]


def test_shards_of_an_interrupted_run_are_replaced(manifest, tmp_path):
    def stop(done, total):
        if done > 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_shards(manifest, tmp_path / "s", samples=5, progress=stop)
    (tmp_path / "s" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"'notes\.txt'"):
        write_shards(manifest, tmp_path / "s", samples=6, overwrite=True)
    (tmp_path / "s" / "notes.txt").unlink()
    assert write_shards(manifest, tmp_path / "s", samples=6, overwrite=True).shards == 6


def test_shards_do_not_replace_their_input_images(manifest, tmp_path):
    prepare("synthetic", tmp_path / "faces", out=tmp_path / "f.parquet", options={"count": 12, "size": 32})
    with pytest.raises(InputError, match=r"\.png, which this command reads"):
        write_shards(tmp_path / "f.parquet", tmp_path / "faces", overwrite=True)
    assert len(list((tmp_path / "faces").glob("*.png"))) == 12


def test_unreadable_images_are_counted_and_listed(manifest, tmp_path):
    next((tmp_path / "data/train/a").iterdir()).write_text("not an image")
    made = write_shards(manifest, tmp_path / "s", samples=5)
    assert (made.samples, made.unreadable) == (29, 1)
    assert "not an image" in (tmp_path / "s" / "rejected.csv").read_text()


def test_corrupt_shards_and_indexes_are_refused(manifest, tmp_path):
    write_shards(manifest, tmp_path / "s", samples=5)
    shard = tmp_path / "s" / "val-000000.tar"
    shard.write_bytes(shard.read_bytes()[:2000])
    with pytest.raises(InputError, match="val-000000"):
        list(read_shards(tmp_path / "s", "val", size=16))
    with pytest.raises(InputError, match="no shards of split 'dev'"):
        list(read_shards(tmp_path / "s", "dev", size=16))
    index = tmp_path / "s" / "shards.json"
    about = json.loads(index.read_text())
    about["splits"]["train"][0]["file"] = "../m.tar"
    index.write_text(json.dumps(about))
    with pytest.raises(InputError, match="not the name of a shard"):
        rows_of(tmp_path / "s")


def test_image_and_json_are_adjacent_as_in_webdataset(manifest, tmp_path):
    write_shards(manifest, tmp_path / "s", samples=5)
    with tarfile.open(tmp_path / "s" / "train-000000.tar") as tar:
        names = tar.getnames()
    assert [name.partition(".")[0] for name in names[::2]] == [name.partition(".")[0] for name in names[1::2]]
    assert {name.partition(".")[2] for name in names} == {"png", "json"}
