"""Failure to detect by group: the fraction of images without a face, with intervals by cluster."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from auxface.data.manifest import read_manifest, write_manifest
from auxface.evaluation import failure_to_detect
from auxface.inference.evaluate import evaluate


def videos(failing, seed=0, count=60, frames=10):
    """Return frames of videos, and which have no face: all frames of some videos, mostly of level F."""
    generator = np.random.default_rng(seed)
    video = np.arange(count * frames) // frames
    sex = np.where(np.arange(count) % 2, "M", "F")
    lost = generator.random(count) < np.where(sex == "F", failing, 0.05)
    frame = pd.DataFrame({"dataset": "d", "method": "", "source": [f"s{one}" for one in video], "video": "v"})
    return frame.assign(frame=np.arange(len(video)), sex=sex[video]), lost[video]


def test_fractions_are_counts_by_level_with_intervals_by_video():
    frame, lost = videos(0.4)
    found = failure_to_detect(frame[~lost], frame[lost], ["sex"], resamples=300)
    assert found.overall.value == pytest.approx(lost.mean())
    for level, one in found.groups["sex"].items():
        rows = (frame["sex"] == level).to_numpy()
        assert one.value == pytest.approx(lost[rows].mean())
        assert (one.n, one.clusters, one.more["failures"]) == (300, 30, lost[rows].sum())
        assert one.low < one.value < one.high
    # Whole videos fail, so the interval is much wider than that of 300 single frames.
    one = found.groups["sex"]["F"]
    assert one.high - one.low > 2 * 1.96 * 2 * (one.value * (1 - one.value) / 300) ** 0.5 * 0.9


def test_no_failure_has_an_interval_above_zero():
    frame, _ = videos(0.4)
    found = failure_to_detect(frame, frame[:0], ["sex"], resamples=100)
    assert found.overall.value == 0
    assert 0.01 < found.overall.high < 0.1


def test_evaluate_reports_the_images_without_a_face_by_group(sixty, trained, tmp_path):
    manifest = read_manifest(sixty)
    listed = tmp_path / "faces.rejected.csv"
    table = manifest.table.assign(path=list(map(str, manifest.paths())))
    write_manifest(replace(manifest, table=table, crop={"detector": "yunet"}), tmp_path / "faces.parquet")
    row = manifest.table[manifest.table["split"] == "test"].iloc[0]
    key = {name: row[name] for name in ("dataset", "method", "video")}
    groups = {name: row[name] for name in manifest.groups}
    lost = [key | groups | {"source": f"lost {one}", "frame": 0, "status": "no_face"} for one in range(4)]
    lost[3]["status"] = "unreadable"
    pd.DataFrame(lost).assign(path="x", reason="x", split="test").to_csv(listed, index=False)
    found = evaluate(trained, tmp_path / "faces.parquet", tmp_path / "e", corruptions=(), resamples=100, device="cpu")
    one = found.failure_to_detect.overall
    rows = found.models["run"].rows
    assert (one.value, one.n) == (pytest.approx(3 / (rows + 3)), rows + 3)
    group = manifest.groups[0]
    level = found.failure_to_detect.groups[group][str(row[group])]
    assert level.more["failures"] == 3
    report = json.loads((tmp_path / "e" / "report.json").read_text())["failure_to_detect"]
    assert report["overall"]["failures"] == 3
    page = (tmp_path / "e" / "report.html").read_text()
    assert "Failure to detect</h2>" in page
    assert len(pd.read_csv(tmp_path / "e" / "csv" / "failure_to_detect.csv")) > 3
