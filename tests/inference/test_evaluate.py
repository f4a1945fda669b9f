"""``auxface evaluate`` beyond the plain run: damage, attacks, other files, maps, missed faces, mitigations."""

import json
from dataclasses import replace

import pandas as pd
import pytest

from auxface import evaluation
from auxface.data.manifest import Label, read_manifest, write_manifest
from auxface.errors import InputError
from auxface.evaluation.audit import audit
from auxface.inference.evaluate import evaluate
from auxface.inference.export import export_model
from auxface.model.directory import load_model


@pytest.fixture(scope="module")
def measured(sixty, trained, tmp_path_factory):
    """The folder and the audit of one run with damage and maps."""
    out = tmp_path_factory.mktemp("measured") / "e"
    kinds = ("fog", "h264", "occlusion_eyes", "attacks")
    return out, evaluate(
        trained, sixty, out, corruptions=kinds, severities=(1, 5), explain=8, resamples=100, device="cpu"
    )


def test_robustness_is_written_as_a_table_that_audit_reads_to_the_same_numbers(measured, tmp_path):
    out, found = measured
    task = found.models["run"].tasks["emotion"]
    assert list(task.robustness["fog"]) == [1, 5]
    assert list(task.robustness["h264"]) == ["c23", "c40"]
    assert list(task.robustness["pgd"]) == ["1/255", "2/255", "4/255"]
    again = audit(
        out / "predictions.parquet", tmp_path / "a", robustness=[out / "robustness.parquet"],
        validation=[out / "validation.parquet"], resamples=100,
    )  # fmt: skip
    other = again.models["predictions"].tasks["emotion"]
    assert other.robustness == task.robustness
    assert other.overall == task.overall


def test_one_seed_gives_one_table(measured, sixty, trained, tmp_path):
    evaluate(
        trained, sixty, tmp_path / "e", corruptions=("fog", "pgd"), severities=(1, 5), resamples=100, device="cpu",
        validation=False,
    )  # fmt: skip
    one, two = (evaluation.read_conditions(folder / "robustness.parquet") for folder in (measured[0], tmp_path / "e"))
    for kind in ("fog", "pgd"):
        for severity, table in two[kind].items():
            pd.testing.assert_frame_equal(table.frame, one[kind][severity].frame, rtol=1e-5)


def test_maps_stand_on_the_page_with_their_numbers(measured):
    out, _ = measured
    page = (out / "report.html").read_text()
    assert "Where run looks" in page
    assert "What run cannot rebuild, by class" in page
    looking, rebuilding = (pd.read_csv(out / "csv" / f"{name}.csv") for name in ("looking", "rebuilding"))
    one = looking[(looking["task"] == "emotion") & (looking["by"] == "everybody")]
    assert one["value"].sum() == pytest.approx(1, abs=1e-3)
    assert set(looking["by"]) >= {"class of emotion", "class of forged", "group skin_tone"}
    forged = rebuilding[(rebuilding["task"] == "forged") & (rebuilding["region"] == "eyes")].set_index("class")["value"]
    assert forged["fake less real"] == pytest.approx(forged["fake"] - forged["real"])


def test_the_report_says_what_it_was_trained_on_and_measured_with(measured):
    report = json.loads((measured[0] / "report.json").read_text())
    assert report["provenance"]["trained_on"] == "synthetic"
    assert report["provenance"]["chosen_on"] == "val"
    assert {"versions", "machine", "created"} <= set(report["method"]["measured_by"])


@pytest.mark.parametrize(
    ("split", "expected", "noted"),
    [
        ("train", "run was trained on these samples", True),
        ("val", "were chosen on them", True),
        ("test", "run was not trained on these samples.", False),
    ],
)
def test_the_report_says_whether_the_model_saw_the_split(split, expected, noted, sixty, trained, tmp_path):
    evaluate(trained, sixty, tmp_path / "e", split=split, corruptions=(), resamples=50, device="cpu")
    page = (tmp_path / "e" / "report.html").read_text()
    section = page[page.index("What the auxiliary task rebuilds") :]
    assert expected in section
    assert "no model was trained" not in page
    notes = json.loads((tmp_path / "e" / "report.json").read_text())["notes"]
    assert any(expected in note for note in notes) == noted


def test_another_manifest_leaves_training_on_it_unknown(sixty, trained, tmp_path):
    other = relabeled(sixty, {}, reversed(read_manifest(sixty).labels["emotion"].classes))
    found = evaluate(trained, other, tmp_path / "e", split="train", corruptions=(), resamples=50, device="cpu")
    assert any("is not known" in note for note in found.notes)
    assert not any("was trained on these samples:" in note for note in found.notes)


def test_an_exported_file_beside_its_model_gives_the_same_figures(sixty, trained, tmp_path):
    pytest.importorskip("onnxruntime")
    export_model(load_model(trained), tmp_path / "exported.onnx")
    found = evaluate(
        trained, sixty, tmp_path / "e", onnx=[tmp_path / "exported.onnx"], corruptions=("fog", "fgsm"), severities=(3,),
        baseline="run", resamples=100, device="cpu",
    )  # fmt: skip
    ours, theirs = (found.models[name].tasks["emotion"] for name in ("run", "exported"))
    assert theirs.overall["accuracy"] == ours.overall["accuracy"]
    assert theirs.robustness["fog"][3]["accuracy"].value == ours.robustness["fog"][3]["accuracy"].value
    assert theirs.robustness_summary["mean_corruption_error"].value == pytest.approx(1)
    assert any("exported was not attacked" in note for note in found.notes)
    assert (tmp_path / "e" / "robustness.exported.parquet").is_file()


def test_faces_that_prepare_missed_in_this_split_are_counted_as_errors(measured, sixty, trained, tmp_path):
    listed = sixty.with_name(f"{sixty.stem}.rejected.csv")
    before = listed.read_bytes()
    lost = {
        "path": list("abcde"),
        "reason": "x",
        "status": ["no_face", "no_face", "unreadable", "duplicate", "no_face"],
        "split": ["test", "test", "test", "test", "train"],
    }
    pd.DataFrame(lost).to_csv(listed, index=False)
    try:
        found = evaluate(trained, sixty, tmp_path / "e", corruptions=(), resamples=100, device="cpu", validation=False)
    finally:
        listed.write_bytes(before)
    assert found.models["run"].left_out == {"no_face": 2, "unreadable": 1}
    task, rows = found.models["run"].tasks["emotion"], found.models["run"].rows
    wanted = task.overall["accuracy"].value * rows / (rows + 3)
    assert task.counted_as_errors["accuracy"].value == pytest.approx(wanted)
    page = (tmp_path / "e" / "report.html").read_text()
    assert "Counting them as errors" in page


def test_one_model_on_several_manifests_makes_the_matrix(measured, tmp_path):
    table = evaluation.read_predictions(measured[0] / "predictions.parquet")
    other = evaluation.Predictions(table.frame.assign(dataset="elsewhere"), table.tasks, {}, table.provenance)
    evaluation.write_predictions(other, tmp_path / "elsewhere.parquet")
    paths = [measured[0] / "predictions.parquet", tmp_path / "elsewhere.parquet"]
    found = audit(paths, tmp_path / "m", matrix=True, resamples=100)
    assert set(found.models) == {"synthetic"}
    assert set(found.models["synthetic"].tasks["emotion"].datasets) == {"synthetic", "elsewhere"}


def relabeled(path, names, classes):
    """A manifest with its emotions renamed, in an order of classes of its own, beside it."""
    manifest = read_manifest(path)
    label = Label("class", tuple(classes))
    table = manifest.table.assign(emotion=manifest.table["emotion"].replace(names))
    other = replace(manifest, table=table, labels=manifest.labels | {"emotion": label})
    beside = path.with_name("other.parquet")
    write_manifest(other, beside)
    return beside


def test_classes_in_another_order_are_the_same_classes(measured, sixty, trained, tmp_path):
    given = read_manifest(sixty)
    other = relabeled(sixty, {}, reversed(given.labels["emotion"].classes))
    found = evaluate(trained, other, tmp_path / "e", corruptions=("fgsm",), resamples=100, device="cpu")
    one, two = (audit.models["run"].tasks["emotion"] for audit in (found, measured[1]))
    assert one.overall == two.overall
    # Attacks go away from the true class: had classes been mistaken for each other, they would go elsewhere.
    again = evaluate(trained, sixty, tmp_path / "s", corruptions=("fgsm",), resamples=100, device="cpu")
    assert one.robustness == again.models["run"].tasks["emotion"].robustness


def test_a_class_that_the_model_does_not_know_is_not_measured_and_is_said(measured, sixty, trained, tmp_path):
    given = read_manifest(sixty)
    happy = int((given.only("test").table["emotion"] == "happy").sum())
    classes = ["awe" if name == "happy" else name for name in given.labels["emotion"].classes]
    other = relabeled(sixty, {"happy": "awe"}, classes)
    found = evaluate(trained, other, tmp_path / "e", corruptions=(), resamples=100, device="cpu")
    task = found.models["run"].tasks["emotion"]
    assert task.unlabeled == happy > 0
    assert any(f"run does not know emotion awe ({happy} rows)" in note for note in found.notes)
    strange = {name: f"not {name}" for name in given.labels["emotion"].classes}
    other = relabeled(sixty, strange, strange.values())
    with pytest.raises(InputError, match="the model knows 'emotion'"):
        evaluate(trained, other, tmp_path / "s", device="cpu")
