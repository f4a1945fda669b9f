"""Tables of any program: formats, column names, decisions, weights; and refusals that spell out the options."""

import bz2
import gzip
import json
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    balanced_accuracy_score,
    brier_score_loss,
    roc_auc_score,
)

import auxface
from auxface.errors import InputError


@pytest.fixture(scope="module")
def frame():
    generator = np.random.default_rng(0)
    true = generator.integers(0, 2, 120)
    score = np.round(1 / (1 + np.exp(-(2 * true - 1 + generator.normal(0, 1.5, 120)))), 4)
    return pd.DataFrame({"y": true, "p": score, "sex": generator.choice(["F", "M"], 120)})


def task_of(table, **options):
    (model,) = auxface.audit(table, resamples=100, **options).models.values()
    (task,) = model.tasks.values()
    return task


def auc_of(table, **options):
    return task_of(table, **options).overall["auc"].value


def written(frame, path):
    """Write the frame as the suffix says; "c.csv" has semicolons and decimal commas in Windows-1252."""
    texts = {
        "a.tsv": frame.to_csv(index=False, sep="\t").encode("utf-16"),
        "b.csv": gzip.compress(frame.to_csv(index=False).encode()),
        "b.bz2": bz2.compress(frame.to_csv(index=False, sep="|").encode()),
        "c.csv": frame.assign(sex="ä").to_csv(index=False, sep=";", decimal=",").encode("cp1252"),
        "d.json": json.dumps(frame.to_dict("records")).encode(),
        "e.jsonl": frame.to_json(orient="records", lines=True).encode("utf-8-sig"),
        "g.txt": b"# made today, by hand\n" + frame.to_csv(index=False, sep=" ").encode(),
        "h.json": frame.to_json(orient="columns").encode(),
        "i.json": frame.to_json(orient="split").encode(),
        "j.json": json.dumps(frame.to_dict("list")).encode(),
        "k.csv": ("#" + frame.to_csv(index=True, index_label="row")).encode(),
        "f.csv": frame.assign(p=[f"{100 * p:.2f}%" for p in frame["p"]]).to_csv(index=True).encode(),
    }
    path.write_bytes(texts[path.name])


FORMATS = ["a.tsv", "b.csv", "b.bz2", "c.csv", "d.json", "e.jsonl", "f.csv", "g.txt", "h.json", "i.json", "j.json",
           "k.csv"]  # fmt: skip


@pytest.mark.parametrize("name", FORMATS)
def test_formats_give_one_result(frame, tmp_path, name):
    written(frame, tmp_path / name)
    assert auc_of(tmp_path / name) == pytest.approx(roc_auc_score(frame["y"], frame["p"]))


def test_excel_is_read_where_its_reader_is_installed(frame, tmp_path):
    pytest.importorskip("openpyxl", reason="openpyxl (the extra 'excel') is not installed")
    frame.to_excel(tmp_path / "t.xlsx", index=False)
    assert auc_of(tmp_path / "t.xlsx") == pytest.approx(roc_auc_score(frame["y"], frame["p"]))


def test_frames_with_decimals_categories_and_booleans(frame):
    odd = frame.assign(y=frame["y"].astype(bool), p=[Decimal(str(p)) for p in frame["p"]])
    odd["sex"] = odd["sex"].astype("category")
    expected = roc_auc_score(frame["y"], frame["p"])
    assert auc_of(odd) == pytest.approx(expected)
    assert auc_of(frame.assign(p=frame["p"].astype(str).astype("category"))) == pytest.approx(expected)


def test_an_unrelated_json_file_beside_the_table_is_ignored(frame, tmp_path):
    frame.to_csv(tmp_path / "t.csv", index=False)
    for text in ('{"name": "a config"}', "not JSON", "[1, 2]"):
        (tmp_path / "t.json").write_text(text)
        assert auc_of(tmp_path / "t.csv") == pytest.approx(roc_auc_score(frame["y"], frame["p"]))


NAMES = [
    ({"y": "y_true", "p": "y_score"}, "binary"),
    ({"y": "label", "p": "pred"}, "binary"),
    ({"y": "Ground Truth", "p": "Probability"}, "binary"),
    ({"y": "target", "p": "prob_1"}, "binary"),
    ({"y": "is_fake", "p": "fake_prob"}, "binary"),
]


@pytest.mark.parametrize(("names", "kind"), NAMES)
def test_names_that_people_use_are_recognized(frame, names, kind):
    found = auxface.audit(frame.rename(columns=names), resamples=100)
    task = found.models["table"].tasks[names["y"]]
    assert task.task.kind == kind
    assert task.overall["auc"].value == pytest.approx(roc_auc_score(frame["y"], frame["p"]))
    assert list(task.groups) == ["sex"]
    assert f"truth '{names['y']}', score '{names['p']}'" in found.notes[0]


@pytest.mark.parametrize("form", ["prob_{}", "P({})", "{}", "{}_score"])
def test_a_score_per_class_is_recognized(form):
    generator = np.random.default_rng(1)
    names = ["happy", "sad", "very angry"]
    score = generator.dirichlet([1, 1, 1], 90)
    table = pd.DataFrame(score, columns=[form.format(name) for name in names])
    table["label"] = generator.choice(names, 90)
    task = task_of(table)
    assert (task.task.kind, sorted(task.task.classes)) == ("class", names)
    assert task.overall["accuracy"].value == np.mean(table["label"] == np.array(names)[score.argmax(axis=1)])


AMBIGUOUS = [
    ({"y": "label", "sex": "target"}, r"label' or 'target'.*Columns: label, p, target.*--true label --score p"),
    ({"y": "a", "p": "b", "sex": "gender"}, r"no column has a name that denotes.*--true a --score b --group gender"),
]


@pytest.mark.parametrize(("names", "sentence"), AMBIGUOUS)
def test_several_readings_are_refused_with_the_options(frame, names, sentence):
    with pytest.raises(InputError, match=sentence):
        auxface.audit(frame.rename(columns=names))
    with pytest.raises(InputError, match="the score may be 'p' or 'score'"):
        auxface.audit(frame.assign(score=0.5))


def test_scores_of_unnamed_classes_need_an_option_for_each():
    generator = np.random.default_rng(1)
    score = pd.DataFrame(generator.dirichlet([1] * 3, 90), columns=["p_0", "p_1", "p_2"])
    spelled = "--score-for a=COLUMN --score-for b=COLUMN --score-for c=COLUMN"
    with pytest.raises(InputError, match=f"may be 'p_0' or 'p_1' or 'p_2'.*--true label {spelled}"):
        auxface.audit(score.assign(label=np.tile(list("abc"), 30)))
    # Labels from 1 to 3 do not name the columns 0 to 2.
    with pytest.raises(InputError, match="--score-for 1=COLUMN --score-for 2=COLUMN --score-for 3=COLUMN"):
        auxface.audit(score.assign(label=np.tile([1, 2, 3], 30)))
    wider = score.assign(p_3=0.0, label=np.tile([0, 3, 1], 30))
    assert task_of(wider).task.classes == ("0", "1", "2", "3")


@pytest.mark.parametrize("name", ["sexx", "SEXX"])
def test_a_column_that_is_absent_names_the_nearest(frame, name):
    with pytest.raises(InputError, match=rf"no column '{name}' \(did you mean 'sex'\?\); columns: "):
        auxface.audit(frame, true="y", score="p", groups=[name])


def test_the_positive_value_decides_the_direction(frame):
    named = frame.assign(y=np.where(frame["y"] == 1, "fake", "real"))
    with pytest.raises(InputError, match="--positive fake or --positive real"):
        auxface.audit(named)
    expected = roc_auc_score(frame["y"], frame["p"])
    assert auc_of(named, positive="fake") == pytest.approx(expected)
    assert auc_of(named, positive="real") == pytest.approx(1 - expected)
    assert auc_of(frame.assign(y=frame["y"] + 1), positive=2) == pytest.approx(expected)


def test_a_pair_of_true_and_predicted_columns_is_recognized():
    true = np.tile(["a", "b", "c"], 30)
    table = pd.DataFrame({"emotion": true, "predicted_emotion": np.roll(true, 30), "confidence": 0.5})
    found = auxface.audit(table, resamples=100)
    assert found.notes[0] == "Recognized: truth 'emotion', decisions 'predicted_emotion'."
    assert found.models["table"].tasks["emotion"].overall["accuracy"].value == 1.0
    with pytest.raises(InputError, match="--true emotion --predicted predicted_emotion"):
        auxface.audit(table.assign(true_age=30, age_pred=31))


def test_a_score_column_without_numbers_is_named(frame):
    with pytest.raises(InputError, match=r"column 'p' does not hold one number per row \(first value: '\[0.5\]'\)"):
        auxface.audit(frame.assign(p="[0.5]"))


def test_a_proposal_lists_only_some_groups(frame):
    many = {f"group {place}": 0 for place in range(40)}
    with pytest.raises(InputError) as caught:
        auxface.audit(frame[["p"]].assign(**many))
    assert str(caught.value).count("--group") == 12


MARKERS = [
    ({"?": 5, "NA": 3}, "8 rows with the label '?' (5) or 'NA' (3) are"),
    ({"unknown": 1}, "1 row with the label 'unknown' is"),
    ({" n/a ": 2}, "2 rows with the label ' n/a ' are"),
    ({"-1": 4}, "4 rows with the label '-1' are"),
    ({"None": 4}, "4 rows with the label 'None' are"),
]


@pytest.mark.parametrize(("markers", "counted"), MARKERS)
@pytest.mark.parametrize("positive", [None, "1"])
def test_texts_for_a_missing_label_are_unlabeled(frame, tmp_path, markers, counted, positive):
    marks = [mark for mark, count in markers.items() for _ in range(count)]
    labels = [*marks, *frame["y"].astype(str)[len(marks) :]]
    frame.assign(y=labels).to_csv(tmp_path / "t.csv", index=False)
    found = auxface.audit(tmp_path / "t.csv", true="y", score="p", positive=positive, resamples=100)
    task = found.models["t"].tasks["y"]
    assert (task.task.kind, task.unlabeled) == ("binary", len(marks))
    assert task.overall["auc"].value == pytest.approx(roc_auc_score(frame["y"][len(marks) :], frame["p"][len(marks) :]))
    assert f"y: {counted} treated as unlabeled." in found.notes


def test_a_marker_with_a_score_or_without_other_labels_is_a_class(frame):
    score = pd.DataFrame({"prob_a": frame["p"], "prob_unknown": 0.6 * (1 - frame["p"])})
    score["prob_b"] = 1 - score.sum(axis=1)
    task = task_of(score.assign(label=np.tile(["a", "unknown", "b"], 40)))
    assert (task.task.classes, task.unlabeled) == (("a", "unknown", "b"), 0)
    known = frame.assign(y=np.where(frame["y"] == 1, "unknown", "known"))
    assert auc_of(known, true="y", score="p", positive="unknown") == pytest.approx(
        roc_auc_score(frame["y"], frame["p"])
    )


def test_scores_and_decisions_written_as_na_are_not_scored(frame, tmp_path):
    gaps = frame.assign(p=["NA"] * 4 + list(frame["p"].astype(str)[4:]))
    gaps.to_csv(tmp_path / "t.csv", index=False)
    assert task_of(tmp_path / "t.csv").unscored == 4
    names = frame.assign(y=np.where(frame["y"] == 1, "b", "a"))
    table = names.drop(columns="p").assign(d=["?"] * 3 + list(names["y"][3:]))
    task = task_of(table, true="y", predicted="d")
    assert (task.task.classes, task.unscored, task.overall["accuracy"].value) == (("a", "b"), 3, 1.0)


def test_combined_negative_labels_are_counted(frame):
    labels = np.where(frame["y"] == 1, "swap", np.tile(["real", "photo"], 60))
    found = auxface.audit(frame.assign(y=labels), true="y", score="p", positive="swap", resamples=100)
    real, photo = (labels == "real").sum(), (labels == "photo").sum()
    counted = f"the labels 'photo' ({photo}), 'real' ({real}) are combined into one negative class."
    assert f"y: {counted}" in found.notes


def test_probabilities_do_not_predict_labels_above_one(frame):
    with pytest.raises(InputError, match="holds '2'; expected 0 or 1"):
        auxface.audit(frame.assign(y=np.tile([0, 1, 2], 40)), true="y", score="p")


def test_inverted_scores_get_a_hint(frame):
    notes = auxface.audit(frame.assign(p=1 - frame["p"]), resamples=100).notes
    assert any("a high score stands for 0, not for 1" in note for note in notes)
    assert not any("stands for" in note for note in auxface.audit(frame, resamples=100).notes)


def test_decisions_replace_those_of_the_threshold(frame):
    decided = (frame["p"] >= 0.7).astype(int)
    task = task_of(frame.assign(y_pred=decided))
    assert task.overall["accuracy"].value == pytest.approx(accuracy_score(frame["y"], decided))
    assert task.overall["auc"].value == pytest.approx(roc_auc_score(frame["y"], frame["p"]))
    assert task_of(frame, threshold=0.7).overall["accuracy"].value == task.overall["accuracy"].value
    alone = task_of(frame[["y", "sex"]].assign(y_pred=decided))
    assert alone.overall["balanced_accuracy"].value == pytest.approx(balanced_accuracy_score(frame["y"], decided))
    assert "auc" not in alone.overall


def test_ages_are_numbers_and_class_numbers_are_classes():
    generator = np.random.default_rng(2)
    age = generator.integers(1, 90, 200)
    table = pd.DataFrame({"true.age": age, "predicted.age": age + generator.normal(0, 3, 200)})
    assert task_of(table).task.kind == "ordinal"
    code = generator.integers(0, 7, 200)
    table = pd.DataFrame({"true.code": code, "predicted.code": generator.permutation(code)})
    assert task_of(table).task.kind == "class"
    assert task_of(table, kind="ordinal").task.kind == "ordinal"


def test_weighted_metrics_equal_scikit_learns(frame):
    weight = np.random.default_rng(3).uniform(0, 3, len(frame))
    found = task_of(frame.assign(w=weight), weight="w").overall
    y, p, decided = frame["y"], frame["p"], frame["p"] >= 0.5
    expected = {
        "accuracy": accuracy_score(y, decided, sample_weight=weight),
        "balanced_accuracy": balanced_accuracy_score(y, decided, sample_weight=weight),
        "auc": roc_auc_score(y, p, sample_weight=weight),
        "average_precision": average_precision_score(y, p, sample_weight=weight),
        "brier_score": brier_score_loss(y, p, sample_weight=weight),
    }
    assert {name: found[name].value for name in expected} == pytest.approx(expected)


def test_weights_that_are_no_weights_are_refused(frame):
    with pytest.raises(InputError, match="row 1 of 'w' holds -1"):
        auxface.audit(frame.assign(w=-1), weight="w")


def test_the_folders_of_frame_paths_are_clusters(frame):
    paths = [f"/data/{place // 4:03d}/{place % 4}.png" for place in range(len(frame))]
    found = auxface.audit(frame.assign(path=paths), cluster="path", resamples=100)
    assert found.models["table"].clusters == 30
    assert auxface.audit(frame.assign(subject=np.arange(120) // 3), resamples=100).models["table"].clusters == 40
    assert auxface.audit(frame.assign(subject=paths), resamples=100).models["table"].clusters == 30


def test_a_few_folders_of_image_paths_are_not_taken_for_people(frame):
    paths = [f"images/{race}/{place}.jpg" for place, race in enumerate(["asian", "black", "white"] * 40)]
    found = auxface.audit(frame.assign(source=paths), resamples=100)
    assert found.models["table"].clusters == 120
    assert any("in only 3 folders" in note and "--cluster" in note for note in found.notes)


@pytest.mark.parametrize(("folders", "noted"), [(20, True), (2, False)])
def test_a_note_names_paths_whose_folders_may_be_clusters(frame, folders, noted):
    paths = [f"data/{place % folders}/{place}.png" for place in range(len(frame))]
    notes = auxface.audit(frame.assign(path=paths), resamples=100).notes
    assert any("in 20 folders" in note and "--cluster path" in note for note in notes) == noted
    found = auxface.audit(frame.assign(path=paths), cluster="path", resamples=100)
    assert found.models["table"].clusters == folders
    assert not any("--cluster path" in note for note in found.notes)


def test_similarities_are_measured_as_verification(frame):
    table = frame.rename(columns={"y": "same", "p": "cosine"}).assign(cosine=2 * frame["p"] - 1)
    with pytest.raises(InputError, match="--kind verification"):
        auxface.audit(table, true="same", score="cosine")
    task = task_of(table, true="same", score="cosine", kind="verification", threshold=0.2)
    assert task.task.classes == ("different", "same")
    assert task.overall["accuracy"].value == accuracy_score(table["same"], table["cosine"] >= 0.2)


def test_a_table_without_a_header_line_is_refused(frame, tmp_path):
    frame[["y", "p"]].to_csv(tmp_path / "t.csv", index=False, header=False)
    with pytest.raises(InputError, match="first line holds numbers; expected a header line"):
        auxface.audit(tmp_path / "t.csv")


@pytest.mark.parametrize("suffix", ["parquet", "jsonl"])
def test_a_column_of_lists_is_named_and_not_used(frame, tmp_path, suffix):
    path = tmp_path / f"t.{suffix}"
    wide = frame.assign(embedding=[[0.1, 0.2]] * len(frame))
    wide.to_parquet(path) if suffix == "parquet" else wide.to_json(path, orient="records", lines=True)
    found = auxface.audit(path, true="y", score="p", groups=["sex"], resamples=100)
    assert any(note.startswith("Column embedding holds a list in each row and was not used") for note in found.notes)
    assert not any("not used: embedding" in note for note in found.notes)
    with pytest.raises(InputError, match=r"embedding.* list"):
        auxface.audit(path, true="y", score="embedding", resamples=100)


def test_a_struct_is_named_a_struct(frame, tmp_path):
    path = tmp_path / "t.parquet"
    frame.assign(box=[{"x": 1, "y": 2}] * len(frame)).to_parquet(path)
    found = auxface.audit(path, true="y", score="p", resamples=100)
    assert any(note.startswith("Column box holds a struct in each row and was not used") for note in found.notes)
    with pytest.raises(InputError, match="column 'box' holds a struct in each row"):
        auxface.audit(path, true="y", score="box", resamples=100)


def test_a_data_frame_may_have_a_column_of_lists(frame):
    wide = frame.assign(embedding=[np.zeros(2)] * len(frame))
    assert auc_of(wide, true="y", score="p") == pytest.approx(roc_auc_score(frame["y"], frame["p"]))


def test_objects_within_json_lines_are_columns(frame, tmp_path):
    rows = [{"y": int(y), "scores": {"no": 1 - p, "yes": p}} for y, p in zip(frame["y"], frame["p"])]
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found = auc_of(tmp_path / "t.jsonl", true="y", score="scores.yes")
    assert found == pytest.approx(roc_auc_score(frame["y"], frame["p"]))


def test_angles_of_the_head_are_properties(frame):
    turned = frame.assign(head_yaw=np.linspace(-60, 60, len(frame)), pitch="left")
    found = auxface.audit(turned, true="y", score="p", resamples=100)
    (task,) = next(iter(found.models.values())).tasks.values()
    assert any("properties 'head_yaw'" in note for note in found.notes)
    assert task.weak_segments.tried > 0
    assert set(task.weak_segments.properties) <= {"head_yaw", "sex"}
