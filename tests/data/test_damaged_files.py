"""Damage to files that auxface wrote for itself: found by a checksum, and created again or refused."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from safetensors.torch import load_file

from auxface.data.images import cache, checksums
from auxface.data.images.cache import load_images
from auxface.data.manifest import read_manifest
from auxface.data.prepare.journal import Journal, file_state
from auxface.data.prepare.prepare import prepare
from auxface.data.shards import index_shards, read_shards, write_shards
from auxface.data.video.clips import ClipSampling, load_clips
from auxface.errors import InputError
from auxface.training.train import train

DAMAGE = {
    "zeros": lambda data: bytes(len(data)),
    "zeros at the end": lambda data: data[: len(data) // 2] + bytes(len(data) - len(data) // 2),
    "one bit": lambda data: data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1 :],
    "truncated": lambda data: data[:-1],
    "empty": lambda data: b"",
    "longer": lambda data: data + b"\0",
}


def damage(path: Path, kind: str) -> None:
    path.write_bytes(DAMAGE[kind](path.read_bytes()))


@pytest.fixture(scope="module")
def manifest(tmp_path_factory) -> Path:
    """A manifest of 24 images of noise in two classes, one of which became unreadable."""
    folder = tmp_path_factory.mktemp("pack")
    random = np.random.default_rng(0)
    for number in range(24):
        path = folder / "images" / ("a" if number % 2 else "b") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (40, 40, 3), np.uint8)).save(path)
    prepare("folder", folder / "images", out=folder / "m.parquet")
    (folder / "images" / "a" / "7.png").write_bytes(b"no image")
    return folder / "m.parquet"


@pytest.mark.parametrize("kind", DAMAGE)
@pytest.mark.parametrize("name", ["images.npy", "rejected.csv", "checksums.json"])
def test_damaged_cached_images_are_decoded_again(manifest, tmp_path, name, kind):
    opened = read_manifest(manifest)
    expected = load_images(opened, size=32, folder=tmp_path)
    pixels = np.array(expected.array)
    [place] = (tmp_path / "images").iterdir()
    damage(place / name, kind)
    with pytest.warns(UserWarning, match="corrupt.*decoded again"):
        found = load_images(opened, size=32, folder=tmp_path)
    assert np.array_equal(found.array, pixels)
    pd.testing.assert_frame_equal(found.rejected, expected.rejected)
    assert len(found.rejected) == 1


def test_an_intact_cache_is_not_decoded_again(manifest, tmp_path, recwarn):
    opened = read_manifest(manifest)
    load_images(opened, size=32, folder=tmp_path)
    steps: list[int] = []
    load_images(opened, size=32, folder=tmp_path, progress=lambda at, _: steps.append(at))
    assert steps == [24]
    assert not recwarn.list


def test_a_damaged_unfinished_cache_starts_again(manifest, tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "SAVE_EVERY", 8)
    monkeypatch.setattr(cache, "_REPORT_EVERY", 8)
    opened = read_manifest(manifest)

    def stop(at: int, total: int) -> None:
        if at == 16:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load_images(opened, size=32, folder=tmp_path / "a", progress=stop)
    [array] = (tmp_path / "a" / "images").glob(".*.partial/images.npy")
    data = array.read_bytes()
    array.write_bytes(data[:128] + bytes(len(data) - 128))
    with pytest.warns(UserWarning, match="corrupt.*decoded again"):
        found = load_images(opened, size=32, folder=tmp_path / "a")
    assert np.array_equal(found.array, load_images(opened, size=32, folder=tmp_path / "b").array)


@pytest.mark.parametrize("kind", DAMAGE)
def test_damaged_cached_clips_are_decoded_again(manifest, tmp_path, kind):
    random = np.random.default_rng(0)
    for number in range(4):
        Image.fromarray(random.integers(0, 256, (64, 32, 3), np.uint8)).save(tmp_path / f"{number}.png")
    rows = {"path": [f"{number}.png" for number in range(4)], "split": "train", "kind": ["a", "b"] * 2}
    pd.DataFrame(rows).to_csv(tmp_path / "l.csv", index=False)
    prepare("table", tmp_path / "l.csv", out=tmp_path / "m.parquet", options={"label": ["kind"]})
    opened, sampling = read_manifest(tmp_path / "m.parquet"), ClipSampling(2, 1, 1, 32)
    expected = np.array(load_clips(opened, sampling, folder=tmp_path / "c").array)
    assert len(expected) == 4
    [place] = (tmp_path / "c" / "clips").iterdir()
    damage(place / "clips.bin", kind)
    with pytest.warns(UserWarning, match="corrupt.*decoded again"):
        found = load_clips(opened, sampling, folder=tmp_path / "c")
    assert np.array_equal(found.array, expected)


def test_two_zeroed_blocks_of_a_large_file_are_found(tmp_path, monkeypatch):
    """A file of which only a part is verified at each opening."""
    for name, value in {"_LEAST_BLOCK": 64, "_START": 16, "_CHECKED_BYTES": 128}.items():
        monkeypatch.setattr(checksums, name, value)
    data = np.random.default_rng(0).integers(1, 256, 6400, np.uint8).tobytes()
    (tmp_path / "a").write_bytes(data)
    checksums.write_checksums(tmp_path)
    assert checksums.is_intact(tmp_path)
    for start in range(0, len(data) - 128, 37):
        (tmp_path / "a").write_bytes(data[:start] + bytes(128) + data[start + 128 :])
        assert not checksums.is_intact(tmp_path), start


def test_training_never_uses_a_zeroed_cache(sixty, small_settings, tmp_path, monkeypatch):
    monkeypatch.setenv("AUXFACE_CACHE", str(tmp_path / "cache"))
    options = {"overrides": [*small_settings, "tasks=[emotion]"], "device": "cpu"}
    train("l_ssat", sixty, tmp_path / "a", **options)
    arrays = list((tmp_path / "cache").rglob("images.npy"))
    assert arrays
    for array in arrays:
        pixels = np.load(array, mmap_mode="r+")
        pixels[:] = 0
        pixels.flush()
    with pytest.warns(UserWarning, match="corrupt.*decoded again"):
        train("l_ssat", sixty, tmp_path / "b", **options)
    one, other = (load_file(tmp_path / name / "model.safetensors") for name in "ab")
    assert all((one[name] == other[name]).all() for name in one)


@pytest.mark.parametrize("kind", ["zeros", "one bit"])
def test_damaged_journal_lines_are_dropped_with_a_note(tmp_path, kind):
    items = []
    for number in range(3):
        items.append(tmp_path / f"{number}")
        items[-1].write_text("x")
    with Journal(tmp_path / "j", {}) as journal:
        for number, item in enumerate(items):
            journal.add(str(item), file_state(item), {"a": number})
    lines = (tmp_path / "j").read_bytes().splitlines()
    (tmp_path / "j").write_bytes(b"\n".join([*lines[:2], DAMAGE[kind](lines[2]), lines[3], b""]))
    notes: list[str] = []
    with Journal(tmp_path / "j", {}, notes.append) as journal:
        assert [journal.find(str(item)) for item in items] == [{"a": 0}, None, {"a": 2}]
        journal.add(str(items[1]), file_state(items[1]), {"a": 1})
    assert notes == [f"{tmp_path / 'j'}: 1 line is corrupt; its file is processed again"]
    with Journal(tmp_path / "j", {}, notes.append) as journal:
        assert [journal.find(str(item)) for item in items] == [{"a": 0}, {"a": 1}, {"a": 2}]
    assert len(notes) == 1


def test_a_damaged_journal_gives_the_same_manifest(manifest, tmp_path):
    notes: list[str] = []
    pack = manifest.parent / "images"
    prepare("folder", pack, out=tmp_path / "m.parquet", warn=notes.append)
    expected = read_manifest(tmp_path / "m.parquet").table
    journal = tmp_path / ".m.parquet.journal"
    for kind in DAMAGE:
        damage(journal, kind)
        prepare("folder", pack, out=tmp_path / "m.parquet", overwrite=True, warn=notes.append)
        pd.testing.assert_frame_equal(read_manifest(tmp_path / "m.parquet").table, expected)
    assert sum("corrupt" in note for note in notes) == 4


def test_a_damaged_image_of_a_shard_is_refused_by_name(manifest, tmp_path):
    write_shards(manifest, tmp_path / "s", samples=6)
    intact = np.asarray(index_shards(read_manifest(tmp_path / "s"), 16))
    shard = next(iter(sorted((tmp_path / "s").glob("train-*.tar"))))
    data = shard.read_bytes()
    place = data.index(b"IEND") - 40
    shard.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
    with pytest.raises(InputError, match=rf"{shard.name}.*wrong checksum.*delete the shard"):
        np.asarray(index_shards(read_manifest(tmp_path / "s"), 16))
    with pytest.raises(InputError, match=rf"{shard.name}.*wrong checksum.*delete the shard"):
        list(read_shards(tmp_path / "s", "train", size=16))
    shard.unlink()
    write_shards(manifest, tmp_path / "s", samples=6)
    assert shard.read_bytes() == data
    assert np.array_equal(np.asarray(index_shards(read_manifest(tmp_path / "s"), 16)), intact)


def test_a_changed_label_in_a_shard_is_refused(manifest, tmp_path):
    write_shards(manifest, tmp_path / "s", samples=30)
    [shard] = (tmp_path / "s").glob("train-*.tar")
    data = shard.read_bytes()
    assert b'"a"' in data
    shard.write_bytes(data.replace(b'"a"', b'"b"', 1))
    with pytest.raises(InputError, match=r"\d\.json is corrupt \(wrong checksum\)"):
        list(read_shards(tmp_path / "s", "train", size=16))


def test_a_damaged_record_of_a_shard_is_written_again(manifest, tmp_path):
    write_shards(manifest, tmp_path / "s", samples=6)
    record = tmp_path / "s" / ".train-000000.tar.json"
    tars = [path.read_bytes() for path in sorted((tmp_path / "s").glob("*.tar"))]
    written = record.read_bytes()
    record.write_bytes(b"\0\xff")
    write_shards(manifest, tmp_path / "s", samples=6)
    assert record.read_bytes() == written
    assert [path.read_bytes() for path in sorted((tmp_path / "s").glob("*.tar"))] == tars


def test_a_damaged_plan_of_shards_is_refused(manifest, tmp_path):
    write_shards(manifest, tmp_path / "s", samples=6)
    (tmp_path / "s" / ".plan.json").write_bytes(b"\0\xff")
    with pytest.raises(InputError, match="already exists"):
        write_shards(manifest, tmp_path / "s", samples=6)
