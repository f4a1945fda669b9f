"""``evaluate``: perturbations, attacks, exported files, mean maps, missed faces, class orders."""

import html
import json
from dataclasses import replace

import pandas as pd
import pytest
from PIL import Image

from auxface import evaluation
from auxface.data.manifest import Label, read_manifest, write_manifest
from auxface.errors import InputError
from auxface.evaluation.audit import audit
from auxface.inference.evaluate import evaluate
from auxface.inference.export import export_model
from auxface.inference.sample_properties import two_class_tasks
from auxface.inference.score_split import EvaluatedModel
from auxface.model.saved_model import load_model


@pytest.fixture(scope="module")
def measured(sixty, trained, tmp_path_factory):
    """The folder and the audit of an evaluation with perturbations and mean maps."""
    out = tmp_path_factory.mktemp("measured") / "e"
    kinds = ("fog", "h264", "occlusion_eyes", "attacks")
    return out, evaluate(
        trained, sixty, out, corruptions=kinds, severities=(1, 5), explain=8, resamples=100, device="cpu"
    )


def test_audit_reproduces_robustness_from_its_table(measured, tmp_path):
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


def test_same_seed_gives_same_robustness_table(measured, sixty, trained, tmp_path):
    evaluate(
        trained, sixty, tmp_path / "e", corruptions=("fog", "pgd"), severities=(1, 5), resamples=100, device="cpu",
        validation=False,
    )  # fmt: skip
    one, two = (evaluation.read_conditions(folder / "robustness.parquet") for folder in (measured[0], tmp_path / "e"))
    for kind in ("fog", "pgd"):
        for severity, table in two[kind].items():
            pd.testing.assert_frame_equal(table.frame, one[kind][severity].frame, rtol=1e-5)


def test_mean_maps_are_on_the_page_and_in_csv_files(measured):
    out, _ = measured
    page = (out / "report.html").read_text()
    assert "Mean saliency maps of run" in page
    assert "Reconstruction errors of run by class" in page
    saliency, errors = (pd.read_csv(out / "csv" / f"{name}.csv") for name in ("saliency", "reconstruction_error"))
    one = saliency[(saliency["task"] == "emotion") & (saliency["by"] == "everybody")]
    assert one["value"].sum() == pytest.approx(1, abs=1e-3)
    assert set(saliency["by"]) >= {"class of emotion", "class of forged", "group skin_tone"}
    forged = errors[(errors["task"] == "forged") & (errors["region"] == "eyes")].set_index("class")["value"]
    assert forged["fake minus real"] == pytest.approx(forged["fake"] - forged["real"])


def test_report_names_training_data_and_machine(measured):
    report = json.loads((measured[0] / "report.json").read_text())
    assert report["provenance"]["trained_on"] == "synthetic"
    assert report["provenance"]["chosen_on"] == "val"
    assert {"versions", "machine", "created"} <= set(report["method"]["measured_by"])


def test_the_page_repeats_the_sentence_of_training(measured, trained):
    sentence = json.loads((trained / "config.json").read_text())["provenance"]["auxiliary_effect"]
    assert sentence.startswith("The auxiliary ")
    assert sentence in html.unescape((measured[0] / "report.html").read_text())
    assert "gradient ratio (dashed: set value)</h3>" in (measured[0] / "report.html").read_text()


@pytest.mark.parametrize(
    ("split", "expected", "noted"),
    [
        ("train", "run was trained on these samples", True),
        ("val", "were chosen on them", True),
        ("test", "run was not trained on these samples.", False),
    ],
)
def test_report_states_whether_split_was_trained_on(split, expected, noted, sixty, trained, tmp_path):
    evaluate(trained, sixty, tmp_path / "e", split=split, corruptions=(), resamples=50, device="cpu")
    page = (tmp_path / "e" / "report.html").read_text()
    section = page[page.index("What the auxiliary task reconstructs") :]
    assert expected in section
    assert "no model was trained" not in page
    notes = json.loads((tmp_path / "e" / "report.json").read_text())["notes"]
    assert any(expected in note for note in notes) == noted


def test_training_on_another_manifest_is_unknown(sixty, trained, tmp_path):
    other = relabeled(sixty, {}, reversed(read_manifest(sixty).labels["emotion"].classes))
    found = evaluate(trained, other, tmp_path / "e", split="train", corruptions=(), resamples=50, device="cpu")
    assert any("is unknown" in note for note in found.notes)
    assert not any("was trained on these samples:" in note for note in found.notes)


def test_exported_file_and_its_model_score_equally(sixty, trained, tmp_path):
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


def test_faces_missed_by_prepare_count_as_errors(measured, sixty, trained, tmp_path):
    listed = sixty.with_name(f"{sixty.stem}.rejected.csv")
    before = listed.read_bytes()
    rejected = {
        "path": list("abcde"),
        "reason": "x",
        "status": ["no_face", "no_face", "unreadable", "duplicate", "no_face"],
        "split": ["test", "test", "test", "test", "train"],
    }
    pd.DataFrame(rejected).to_csv(listed, index=False)
    try:
        found = evaluate(trained, sixty, tmp_path / "e", corruptions=(), resamples=100, device="cpu", validation=False)
    finally:
        listed.write_bytes(before)
    assert found.models["run"].left_out == {"no_face": 2, "unreadable": 1}
    task, rows = found.models["run"].tasks["emotion"], found.models["run"].rows
    expected = task.overall["accuracy"].value * rows / (rows + 3)
    assert task.counted_as_errors["accuracy"].value == pytest.approx(expected)
    page = (tmp_path / "e" / "report.html").read_text()
    assert "If these samples are counted as errors" in page


def test_audit_makes_matrix_of_several_manifests(measured, tmp_path):
    table = evaluation.read_predictions(measured[0] / "predictions.parquet")
    other = evaluation.Predictions(table.frame.assign(dataset="elsewhere"), table.tasks, {}, table.provenance)
    evaluation.write_predictions(other, tmp_path / "elsewhere.parquet")
    paths = [measured[0] / "predictions.parquet", tmp_path / "elsewhere.parquet"]
    found = audit(paths, tmp_path / "m", matrix=True, resamples=100)
    assert set(found.models) == {"synthetic"}
    assert set(found.models["synthetic"].tasks["emotion"].datasets) == {"synthetic", "elsewhere"}


def relabeled(path, names, classes):
    """Return the path of a copy of a manifest with emotions renamed and classes in the given order."""
    manifest = read_manifest(path)
    label = Label("class", tuple(classes))
    table = manifest.table.assign(emotion=manifest.table["emotion"].replace(names))
    other = replace(manifest, table=table, labels=manifest.labels | {"emotion": label})
    beside = path.with_name("other.parquet")
    write_manifest(other, beside)
    return beside


def test_class_order_of_manifest_does_not_matter(measured, sixty, trained, tmp_path):
    given = read_manifest(sixty)
    other = relabeled(sixty, {}, reversed(given.labels["emotion"].classes))
    found = evaluate(trained, other, tmp_path / "e", corruptions=("fgsm",), resamples=100, device="cpu")
    one, two = (audit.models["run"].tasks["emotion"] for audit in (found, measured[1]))
    assert one.overall == two.overall
    # Attacks depend on the true class, so a mix-up of classes would change them.
    again = evaluate(trained, sixty, tmp_path / "s", corruptions=("fgsm",), resamples=100, device="cpu")
    assert one.robustness == again.models["run"].tasks["emotion"].robustness


def test_unknown_class_is_excluded_with_a_note(measured, sixty, trained, tmp_path):
    given = read_manifest(sixty)
    happy = int((given.only("test").table["emotion"] == "happy").sum())
    classes = ["awe" if name == "happy" else name for name in given.labels["emotion"].classes]
    other = relabeled(sixty, {"happy": "awe"}, classes)
    found = evaluate(trained, other, tmp_path / "e", corruptions=(), resamples=100, device="cpu")
    task = found.models["run"].tasks["emotion"]
    assert task.unlabeled == happy > 0
    assert any(f"run was not trained on emotion awe ({happy} rows)" in note for note in found.notes)
    renamed = {name: f"not {name}" for name in given.labels["emotion"].classes}
    other = relabeled(sixty, renamed, renamed.values())
    with pytest.raises(InputError, match=r"task 'emotion' is class with .* in the model"):
        evaluate(trained, other, tmp_path / "s", device="cpu")


@pytest.fixture(scope="module")
def recoded(sixty, trained, tmp_path_factory):
    """A manifest whose fake faces are PNG and whose real ones are JPEG, and its evaluation in one format."""
    folder = tmp_path_factory.mktemp("recoded")
    manifest = read_manifest(sixty)
    table = manifest.table.copy()
    for row, (path, forged) in enumerate(zip(manifest.paths(), table["forged"])):
        file = folder / f"{row}.{'png' if forged == 1 else 'jpg'}"
        Image.open(path).convert("RGB").save(file)
        table.loc[row, "path"] = str(file)
    write_manifest(replace(manifest, table=table, root=folder), folder / "faces.parquet")
    out = folder / "e"
    found = evaluate(
        trained, folder / "faces.parquet", out, corruptions=(), same_format=True, resamples=100, device="cpu"
    )
    return out, found


def test_a_format_that_differs_by_class_is_reported(recoded):
    out, found = recoded
    task = found.models["run"].tasks["forged"]
    assert task.file_probe.value.value == 1
    assert "File properties alone" in html.unescape((out / "report.html").read_text())
    report = json.loads((out / "report.json").read_text())["tasks"]["forged"]
    assert report["file_probe"]["probe"]["value"] == 1
    assert set(report["file_probe"]["inputs"]) >= {"format"}


def test_the_lead_over_frozen_features_is_reported(recoded):
    out, found = recoded
    for task in ("forged", "emotion"):
        audited = found.models["run"].tasks[task]
        probe = audited.feature_probe
        metric = "auc" if task == "forged" else "balanced_accuracy"
        assert probe.model.value == audited.overall[metric].value
        assert probe.lead.value == pytest.approx(probe.model.value - probe.value.value)
        report = json.loads((out / "report.json").read_text())["tasks"][task]["feature_probe"]
        assert report["lead"]["value"] == pytest.approx(probe.lead.value, abs=1e-4)
    assert "<h2>Without training the encoder</h2>" in (out / "report.html").read_text()


def test_one_format_is_scored_beside_the_original(recoded):
    out, found = recoded
    task = found.models["run"].tasks["forged"]
    assert task.same_format.format == "JPEG of quality 75 with a shorter side of 32 pixels"
    assert task.same_format.before.value == task.overall["auc"].value
    table = evaluation.read_predictions(out / "same_format.parquet")
    again = evaluation.audit_tables({"m": table}, resamples=50).models["m"].tasks["forged"]
    assert again.overall["auc"].value == pytest.approx(task.same_format.after.value)
    assert found.models["run"].tasks["emotion"].same_format is None


def test_properties_of_the_images_are_in_the_table(recoded):
    frame = evaluation.read_predictions(recoded[0] / "predictions.parquet").frame
    assert {"property.brightness", "property.sharpness", "property.bytes", "property.format"} <= set(frame)
    assert "property.shorter_side" not in frame  # it is the same for all images
    assert recoded[1].models["run"].tasks["forged"].weak_segments.searched.startswith("the validation table")


def test_same_format_needs_two_classes(saved):
    config = saved.config.model_copy(
        update={"tasks": tuple(task for task in saved.config.tasks if task.name == "mood")}
    )
    model = EvaluatedModel("m", config, lambda images: {}, None, None, {})
    with pytest.raises(InputError, match=r"m: --same-format compares the AUC .* no such task \(mood \(3 classes\)\)"):
        two_class_tasks(model)
