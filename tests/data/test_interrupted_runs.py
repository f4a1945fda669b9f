"""Runs stopped by ``kill -9``: finished work is kept, no output is partial, and the second run completes it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import layout_trees
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from auxface.data.images.cache import load_images
from auxface.data.manifest import read_manifest
from auxface.data.prepare.journal import Journal
from auxface.data.prepare.prepare import prepare
from auxface.data.shards import read_shards, write_shards
from auxface.data.video.clips import ClipSampling, load_clips
from auxface.data.video.frames import FrameSettings
from auxface.data.video.h264 import write_video
from auxface.errors import InputError


def killed_after(done: int, program: str, *arguments: object) -> int:
    """Run a program that calls ``report(done, total)`` and kill it; return the last ``done``."""
    last = 0
    # The program waits at twice ``done``, so that it cannot finish before it is killed on a busy machine.
    report = (
        "import signal\ndef report(at, total):\n    print(at, total, flush=True)\n"
        f"    if at >= {2 * done}: signal.pause()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", report + program, *map(str, arguments)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            last = int(line.split()[0])
            if last >= done:
                process.send_signal(signal.SIGKILL)
                break
    assert process.returncode == -signal.SIGKILL, "the program ended before it was killed"
    return last


def stamps(folder: Path, pattern: str) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob(pattern)}


@pytest.fixture
def images(tmp_path) -> Path:
    """Ninety images, each of which takes some milliseconds to decode."""
    folder = tmp_path / "pack"
    random = np.random.default_rng(0)
    for number in range(90):
        path = folder / ("a" if number % 2 else "b") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (400, 400, 3), np.uint8)).save(path, compress_level=1)
    return folder


def test_a_killed_prepare_of_images_resumes(images, tmp_path):
    output = tmp_path / "a.parquet"
    killed_after(
        30,
        "import sys; from pathlib import Path; from auxface.data.prepare.prepare import prepare\n"
        "prepare('folder', Path(sys.argv[1]), out=Path(sys.argv[2]), progress=report)",
        images,
        output,
    )
    journal = tmp_path / ".a.parquet.journal"
    done = journal.read_bytes().count(b"\n") - 1
    assert 30 <= done < 90
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("a.")] == []
    with journal.open("ab") as torn:
        torn.write(b'{"item": "half a li')
    kept = journal.read_bytes().splitlines()[: done + 1]
    assert prepare("folder", images, out=output)["usable"] == 90
    lines = journal.read_bytes().splitlines()
    assert len(lines) == 91
    assert lines[: done + 1] == kept
    assert len(read_manifest(output).table) == 90


def test_a_killed_prepare_of_videos_resumes(tmp_path):
    layout_trees.uadfv(tmp_path / "data")
    broken, unbroken = tmp_path / "broken", tmp_path / "unbroken"
    program = (
        "import sys; from pathlib import Path; from auxface.data.video.frames import FrameSettings\n"
        "from auxface.data.prepare.prepare import prepare; place = Path(sys.argv[2])\n"
        "prepare('uadfv', Path(sys.argv[1]), out=place / 'v.parquet', frames=FrameSettings(count=3),\n"
        "        crops=place / 'frames', progress=report)"
    )
    killed_after(4, program, tmp_path / "data", broken)
    assert [path.name for path in broken.iterdir() if path.name.startswith("v.")] == []
    journal = broken / ".v.parquet.journal"
    done = journal.read_bytes().count(b"\n") - 1
    assert 4 <= done < 24
    named = {path for path in (broken / "frames").rglob("*.png") if str(path).encode() in journal.read_bytes()}
    assert len(named) == 3 * done
    before = {path: stamp for path, stamp in stamps(broken / "frames", "*.png").items() if path in named}

    frames = FrameSettings(count=3)
    accounts = [
        prepare("uadfv", tmp_path / "data", out=place / "v.parquet", frames=frames, crops=place / "frames")
        for place in (broken, unbroken)
    ]
    assert accounts[0] == accounts[1]
    assert before.items() <= stamps(broken / "frames", "*.png").items()
    manifests = [read_manifest(place / "v.parquet") for place in (broken, unbroken)]
    assert manifests[0].hash == manifests[1].hash
    for one, other in zip(manifests[0].paths(), manifests[1].paths(), strict=True):
        assert one.read_bytes() == other.read_bytes()


def test_a_killed_writing_of_shards_resumes(images, tmp_path):
    prepare("folder", images, out=tmp_path / "m.parquet")
    program = (
        "import sys; from pathlib import Path; from auxface.data.shards import write_shards\n"
        "write_shards(Path(sys.argv[1]), Path(sys.argv[2]), samples=6, progress=report)"
    )
    said = killed_after(24, program, tmp_path / "m.parquet", tmp_path / "broken")
    with pytest.raises(InputError, match=r"shards\.json is missing"):
        list(read_shards(tmp_path / "broken", "train", size=16))
    assert not (tmp_path / "broken" / "manifest.parquet").exists()
    # A file that a killed run left incomplete.
    (tmp_path / "broken" / ".train-000009.x1y2z3.tar").write_bytes(b"half")
    before = stamps(tmp_path / "broken", "[a-z]*.tar")
    assert 6 * len(before) >= said - 6
    for folder in (tmp_path / "broken", tmp_path / "unbroken"):
        write_shards(tmp_path / "m.parquet", folder, samples=6)
    assert before.items() <= stamps(tmp_path / "broken", "[a-z]*.tar").items()
    files = [{path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("broken", "unbroken")]
    assert files[0] == files[1]


def test_a_killed_decoding_of_images_resumes(images, tmp_path):
    prepare("folder", images, out=tmp_path / "m.parquet")
    program = (
        "import sys; from pathlib import Path; from auxface.data.images import cache\n"
        "from auxface.data.manifest import read_manifest; cache.SAVE_EVERY = 8\n"
        "cache.load_images(read_manifest(Path(sys.argv[1])), size=64, folder=Path(sys.argv[2]), workers=1,\n"
        "                    progress=report)"
    )
    said = killed_after(24, program, tmp_path / "m.parquet", tmp_path / "cache")
    opened = read_manifest(tmp_path / "m.parquet")
    steps: list[int] = []
    loaded = load_images(opened, size=64, folder=tmp_path / "cache", progress=lambda at, _: steps.append(at))
    assert steps[0] >= said
    assert steps[-1] == 90
    whole = load_images(opened, size=64, folder=tmp_path / "other")
    assert np.array_equal(loaded.array, whole.array)
    names = [os.listdir(tmp_path / name / "images") for name in ("cache", "other")]
    assert names[0] == names[1]


def test_a_killed_decoding_of_clips_resumes(tmp_path):
    names = [f"{number}.mp4" for number in range(40)]
    for number, name in enumerate(names):
        frames = (np.full((96, 96, 3), (number * 5 + frame) % 256, np.uint8) for frame in range(40))
        write_video(tmp_path / name, frames)
    (tmp_path / names[3]).write_bytes(b"no video")
    pd.DataFrame({"path": names, "split": "train", "kind": ["a", "b"] * 20}).to_csv(tmp_path / "l.csv", index=False)
    prepare("table", tmp_path / "l.csv", out=tmp_path / "m.parquet", options={"label": ["kind"]})
    program = (
        "import sys; from pathlib import Path; from auxface.data.video import clips\n"
        "from auxface.data.manifest import read_manifest; clips.SAVE_EVERY = 4\n"
        "clips.load_clips(read_manifest(Path(sys.argv[1])), clips.ClipSampling(4, 2, 3, 32), workers=1,\n"
        "                 folder=Path(sys.argv[2]), progress=report)"
    )
    said = killed_after(12, program, tmp_path / "m.parquet", tmp_path / "cache")
    opened, sampling = read_manifest(tmp_path / "m.parquet"), ClipSampling(4, 2, 3, 32)
    steps: list[int] = []
    loaded = load_clips(opened, sampling, folder=tmp_path / "cache", progress=lambda at, _: steps.append(at))
    assert said - 4 <= steps[0]
    whole = load_clips(opened, sampling, folder=tmp_path / "other")
    assert np.array_equal(loaded.array, whole.array)
    assert np.array_equal(loaded.first, whole.first)
    pd.testing.assert_frame_equal(loaded.rejected, whole.rejected)


def test_a_journal_discards_a_truncated_line(tmp_path):
    item = tmp_path / "item"
    item.write_text("x")
    with Journal(tmp_path / "j", {}) as journal:
        journal.add(str(item), f"1 {item.stat().st_mtime_ns}", {"a": 1})
        journal.add("other", "missing", {"b": 2})
    data = (tmp_path / "j").read_bytes()
    (tmp_path / "j").write_bytes(data[:-3])
    with Journal(tmp_path / "j", {}) as journal:
        assert journal.find(str(item)) == {"a": 1}
        assert journal.find("other") is None
