"""Training and export on a full disk: a small file system in memory."""

import os
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pandas as pd
import pytest
from safetensors.torch import load_file

from auxface.cli.app import main
from auxface.model import JointModel

SETTINGS = {
    "encoder.image_size": 32,
    "encoder.width": 32,
    "encoder.depth": 1,
    "encoder.heads": 4,
    "auxiliary.decoder_width": 32,
    "auxiliary.decoder_depth": 1,
    "auxiliary.decoder_heads": 4,
    "train.epochs": 3,
    "train.batch_size": 12,
}


@pytest.fixture
def disk(tmp_path):
    place = tmp_path / "disk"
    place.mkdir()
    if not sys.platform.startswith("linux") or shutil.which("mount") is None:
        pytest.skip("no tmpfs to fill on this system")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", place], capture_output=True).returncode:
        pytest.skip("not permitted to mount a tmpfs")
    yield place
    # Lazily, since files that were read as tensors may still be mapped.
    subprocess.run(["umount", "--lazy", place], check=True)


def resize(place, kilobytes):
    subprocess.run(["mount", "-o", f"remount,size={kilobytes}k", place], check=True)


def fill(place, but_for):
    """Fill a file system except for some kilobytes, for logs."""
    free = os.statvfs(place)
    (place / "filling").write_bytes(bytes(free.f_bavail * free.f_bsize - but_for * 1024))


def kilobytes(folder):
    return sum(-(-path.stat().st_size // 4096) * 4 for path in folder.rglob("*") if path.is_file())


def command(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["auxface", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code, capsys.readouterr().err.splitlines()[-1]


@pytest.fixture
def train(tmp_path, monkeypatch, capsys):
    generator = np.random.default_rng(0)
    rows = []
    for number in range(32):
        cv2.imwrite(str(tmp_path / f"{number}.png"), generator.integers(0, 256, (32, 32, 3)).astype(np.uint8))
        split, shade = "train" if number < 24 else "val", ["dark", "light"][number % 2]
        rows.append({"path": f"{number}.png", "split": split, "shade": shade})
    pd.DataFrame(rows).to_csv(tmp_path / "list.csv", index=False)
    made = command(
        monkeypatch, capsys, "prepare", "table", tmp_path / "list.csv", "-o", tmp_path / "m.csv", "--label", "shade"
    )
    assert made[0] == 0, made
    settings = [part for key, value in SETTINGS.items() for part in ("--set", f"{key}={value}")]
    return lambda out: command(
        monkeypatch, capsys, "train", "l_ssat", "--data", tmp_path / "m.csv", "-o", out, *settings
    )


def checkpoints(out):
    return sorted(path.name for path in (out / "checkpoint").iterdir())


def test_a_run_resumes_after_the_disk_was_full(disk, train, monkeypatch, capsys):
    assert train(disk / "free")[0] == 0
    each = kilobytes(disk / "free" / "checkpoint") // 2
    shutil.rmtree(disk / "free")

    # The third checkpoint does not fit beside the first two.
    resize(disk, 2 * each + each // 2)
    code, message = train(disk / "run")
    assert code == 2
    assert "no space left on the disk; the checkpoint" in message
    assert message.endswith(f"is complete; free some space and resume with 'auxface train --resume {disk / 'run'}'")
    assert checkpoints(disk / "run") == ["000000002", "000000004"]
    resize(disk, 16 * each)
    assert command(monkeypatch, capsys, "train", "--resume", disk / "run")[0] == 0
    assert checkpoints(disk / "run") == ["000000004", "000000006"]

    # The model does not fit.
    before = {name: value.clone() for name, value in load_file(disk / "run" / "model.safetensors").items()}
    (disk / "run" / "model.safetensors").unlink()
    fill(disk, but_for=24)
    code, message = command(monkeypatch, capsys, "train", "--resume", disk / "run")
    assert code == 2
    assert "no space left on the disk; the checkpoint" in message
    kept = {path.name for path in (disk / "run").iterdir() if path.suffix == ".safetensors" or path.name[0] == "."}
    assert kept == {".auxface.json"}
    (disk / "filling").unlink()
    assert command(monkeypatch, capsys, "train", "--resume", disk / "run")[0] == 0
    again = JointModel.from_pretrained(disk / "run").state_dict()
    assert all((again[name] == value).all() for name, value in before.items())


def test_a_run_that_cannot_start_leaves_no_files(disk, train):
    resize(disk, 4)
    code, message = train(disk / "run")
    assert (code, message) == (2, "auxface: no space left on the disk; free some space and run the command again")
    assert not (disk / "run").exists()


@pytest.mark.parametrize("free", [8, 64])
@pytest.mark.parametrize(
    "options", [["--format", "onnx"], ["--format", "onnx", "--int8", "dynamic"], ["--format", "pt2"]]
)
def test_an_export_that_does_not_fit_blames_the_disk(disk, trained, monkeypatch, capsys, options, free):
    fill(disk, but_for=free)
    out = disk / f"x.{options[1]}"
    code, message = command(monkeypatch, capsys, "export", trained, "-o", out, *options)
    assert (code, message) == (2, "auxface: no space left on the disk; free some space and run the command again")
    assert [path.name for path in disk.iterdir()] == ["filling"]
