"""Weak segments: found on some samples, tested on others; true ones are confirmed, false ones rarely."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from auxface.evaluation import Predictions, ScoredTask, audit_tables
from auxface.evaluation.audit import audit
from auxface.evaluation.report.property_panels import segment_panels
from auxface.evaluation.resampling import draw_resamples
from auxface.evaluation.weak_segments import MOST_TESTED, weak_segments

TASK = ScoredTask("forged", "binary", ("real", "forged"), {"forged": 0.5})


def samples(seed, *, weakness=0.0, n=1200, frames=1):
    """Return samples with properties; the accuracy is 90%, and lower by ``weakness`` for dark faces of women."""
    generator = np.random.default_rng(seed)
    video = np.arange(n) // frames
    sex = generator.choice(["F", "M"], video[-1] + 1)[video]
    true, brightness = generator.integers(0, 2, video[-1] + 1)[video], generator.random(n)
    luck = generator.normal(0, 0.1 if frames > 1 else 0, video[-1] + 1)[video]
    right = generator.random(n) < 0.9 + luck - weakness * ((brightness < 0.3) & (sex == "F"))
    frame = pd.DataFrame(
        {
            "dataset": f"made {seed}", "method": "", "source": [f"s{one}" for one in video], "video": "",
            "frame": np.arange(n), "group.sex": sex, "group.tone": generator.integers(1, 5, n),
            "property.brightness": brightness, "property.sharpness": generator.normal(size=n),
            "property.format": generator.choice(["JPEG", "PNG"], n), "true.forged": true,
            "score.forged.forged": np.where(right == (true == 1), 0.8, 0.2),
        }
    )  # fmt: skip
    return Predictions(frame, (TASK,))


def found(tables, search=None, **options):
    tested = audit_tables({"m": tables}, search=search and {"m": search}, resamples=200, **options)
    return tested.models["m"].tasks["forged"].weak_segments


def test_an_injected_weakness_is_found_and_confirmed():
    weak = found(samples(1, weakness=0.3), samples(2, weakness=0.3))
    (first, *_) = [one for one in weak.segments if one.confirmed]
    assert first.name.startswith("brightness under")
    assert first.name.endswith("sex F")
    table = samples(1, weakness=0.3).frame
    limit = float(first.name.split()[2])
    inside = (table["property.brightness"] < limit) & (table["group.sex"] == "F")
    right = (table["score.forged.forged"] > 0.5) == (table["true.forged"] == 1)
    recalls = [right[where & (table["true.forged"] == true)].mean() for where in (inside, ~inside) for true in (0, 1)]
    assert first.value.n == inside.sum()
    assert first.value.value == pytest.approx(np.mean(recalls[:2]))
    assert first.difference.value == pytest.approx(np.mean(recalls[:2]) - np.mean(recalls[2:]))
    assert first.difference.low < first.difference.value < first.difference.high < 0


def test_a_weakness_of_the_searched_samples_alone_is_not_confirmed():
    weak = found(samples(1), samples(2, weakness=0.4))
    assert any("brightness under" in one.name for one in weak.segments)
    assert not any(one.confirmed for one in weak.segments)
    assert len(weak.segments) <= MOST_TESTED < weak.tried


def test_without_other_samples_halves_of_the_clusters_are_used():
    table = samples(3, weakness=0.35, n=2400, frames=4)
    weak = found(table)
    assert weak.searched == "a random half of the clusters (1,200 samples)"
    assert any(one.confirmed for one in weak.segments)
    for one in weak.segments:
        assert one.value.n + one.rest.n == 1200
        assert one.value.clusters <= 300


def test_samples_of_clusters_of_the_table_are_not_searched():
    table = samples(4, weakness=0.3)
    shared = replace(table, frame=pd.concat([table.frame, samples(5, weakness=0.3).frame], ignore_index=True))
    assert found(table, shared).searched == "the validation table (1,200 samples)"


def test_tables_without_properties_have_no_weak_segments():
    table = samples(6)
    bare = replace(table, frame=table.frame.drop(columns=[name for name in table.frame if "property." in name]))
    assert found(bare) is None
    # Crossed groups are searched if there are other samples.
    assert found(bare, replace(samples(7), frame=samples(7).frame)).properties == ("sex", "tone")


def test_a_lower_error_is_better():
    generator = np.random.default_rng(0)
    tables = []
    for _ in range(2):
        small = generator.random(600)
        age = generator.integers(20, 60, 600)
        error = np.where(small < 0.25, 9, 2) * generator.normal(size=600)
        frame = pd.DataFrame({"true.age": age, "predicted.age": age + error, "property.face size": small})
        tables.append(Predictions(frame, (ScoredTask("age", "ordinal"),)))
    weak = audit_tables({"m": tables[0]}, search={"m": tables[1]}, resamples=200).models["m"].tasks["age"].weak_segments
    assert weak.metric == "mean_absolute_error"
    assert weak.segments[0].name.startswith("face size under")
    assert weak.segments[0].confirmed
    assert weak.segments[0].difference.value > 3


def test_any_table_names_its_properties(tmp_path):
    names = {"true.forged": "fake", "score.forged.forged": "p", "group.sex": "sex", "property.brightness": "light"}
    parts = [samples(seed, weakness=0.35).frame.assign(split=split) for seed, split in ((8, "test"), (9, "val"))]
    frame = pd.concat(parts).rename(columns=names)[[*names.values(), "split", "group.tone"]]
    frame.rename(columns={"group.tone": "camera"}).to_csv(tmp_path / "p.csv", index=False)
    options = {"true": "fake", "score": "p", "groups": ["sex"], "properties": ["light", "camera"]}
    audit(tmp_path / "p.csv", tmp_path / "out", split="test", resamples=200, **options)
    task = json.loads((tmp_path / "out" / "report.json").read_text())["tasks"]["fake"]
    weak = task["weak_segments"]
    assert weak["searched"] == "the validation table (1,200 samples)"
    assert set(weak["properties"]) == {"sex", "light", "camera"}
    assert weak["segments"][0]["confirmed"]
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Weak segments" in page
    assert weak["segments"][0]["segment"] in page
    assert (tmp_path / "out" / "csv" / "weak_segments.csv").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("frames", [1, 10])
def test_equal_performance_rarely_confirms_a_segment(frames):
    """At most 5% of tables have a falsely confirmed segment, up to twice the standard error of 200 tables."""
    false = 0
    for seed in range(200):
        table, search = (samples(2 * seed + other, n=1000 * (1 + (frames > 1)), frames=frames) for other in (0, 1))
        cluster = np.arange(len(table.frame)) // frames
        draw = draw_resamples(int(cluster[-1]) + 1, 200, seed)
        weak = weak_segments(TASK, "balanced_accuracy", table, cluster, draw, search, seed=seed)
        false += any(one.confirmed for one in weak.segments)
    print(f"falsely confirmed with {frames} frames a video: {false / 200:.1%}")
    assert false / 200 <= 0.05 + 0.031


def test_a_segment_with_few_clusters_states_why_it_is_not_tested():
    searched = samples(1, weakness=0.6)
    # Only 14 dark samples of women remain where segments are tested.
    table = samples(2, weakness=0.6).frame
    rare = (table["property.brightness"] < 0.3) & (table["group.sex"] == "F")
    kept = Predictions(table[~rare | (rare.cumsum() <= 14)].reset_index(drop=True), (TASK,))
    audited = audit_tables({"m": kept}, search={"m": searched}, resamples=200).models["m"].tasks["forged"]
    untested = [one for one in audited.weak_segments.segments if one.p is None]
    assert untested
    assert "; a difference needs 10" in untested[0].not_tested
    entries = {one["segment"]: one for one in audited.weak_segments.to_dict()["segments"]}
    assert entries[untested[0].name]["why"] == untested[0].not_tested
    (panel,) = segment_panels({"m": audited})
    assert any(row.verdict == f"not tested: {untested[0].not_tested}" for row in panel.rows)


def test_units_are_given_for_measured_properties_only():
    table = samples(1, weakness=0.3)
    assert found(table).units == {}
    measured = replace(table, provenance={"manifest_hash": "0"})
    units = found(measured).units
    assert units["brightness"] == "0 to 1"
    assert set(units) == {"brightness", "sharpness"}


def test_the_page_states_a_unit_once():
    audited = audit_tables({"m": samples(1, weakness=0.3)}, resamples=200).models["m"].tasks["forged"]
    units = {"brightness": "0 to 1", "bytes": "bytes"}
    audited.weak_segments = replace(audited.weak_segments, units=units)
    assert "Units: brightness (0 to 1). " in segment_panels({"m": audited})[0].sentence
