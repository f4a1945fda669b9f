"""Embeddings, search and verification with a small model that was trained on drawn people."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from auxface.cli.app import app
from auxface.data.manifest import Label, Manifest, read_manifest, write_manifest
from auxface.data.prepare.prepare import prepare
from auxface.errors import InputError
from auxface.inference.embed import Embedder, embed, read_embeddings
from auxface.inference.export import export
from auxface.inference.pairs import read_pairs
from auxface.inference.search import nearest_neighbors, search
from auxface.inference.verify import verify
from auxface.model.directory import read_config
from auxface.training.train import train

SPLITS = ["train"] * 16 + ["val"] * 4 + ["test"] * 4
EACH = 4


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """Twenty-four people with four noisy images each; a person is a coarse pattern of colors."""
    folder = tmp_path_factory.mktemp("people")
    rng, rows = np.random.default_rng(0), []
    for person, split in enumerate(SPLITS):
        pattern = rng.integers(0, 256, (4, 4, 3)).repeat(8, 0).repeat(8, 1)
        for number in range(EACH):
            pixels = (0.7 * pattern + 0.3 * rng.integers(0, 256, (32, 32, 3))).astype(np.uint8)
            name = f"P_{person:02d}_{number + 1:04d}.png"
            Image.fromarray(pixels).save(folder / name)
            rows.append({"path": name, "split": split, "source": f"P_{person:02d}", "frame": number})
    table = pd.DataFrame(rows).assign(dataset="drawn", video="", method="")
    table["person"] = table["source"]
    table["half"] = np.where(np.arange(len(table)) // EACH % 2, "odd", "even")
    write_manifest(Manifest(table, {"person": Label("identity")}, ("half",)), folder / "people.parquet")
    return folder / "people.parquet"


@pytest.fixture(scope="module")
def identity_model(people, small_settings, tmp_path_factory):
    folder = tmp_path_factory.mktemp("identity") / "run"
    settings = [each for each in small_settings if not each.startswith("auxiliary")]
    settings += ["train.epochs=12", "train.base_learning_rate=0.02", "tasks=person", "primary.loss=normalized_softmax"]
    train("metric_learning", people, folder, overrides=settings, device="cpu")
    return folder


@pytest.fixture(scope="module")
def gallery(identity_model, people, tmp_path_factory):
    out = tmp_path_factory.mktemp("gallery") / "embeddings.parquet"
    embed(identity_model, people.parent, out, device="cpu")
    return out


def test_people_that_were_not_trained_are_verified(identity_model, people, tmp_path):
    report = verify(identity_model, people, "person", tmp_path / "eval", resamples=100, device="cpu")
    overall = report["tasks"]["same_person"]["overall"]
    assert overall["auc"]["value"] > 0.9
    assert overall["auc"]["n"] == 16 * 15 // 2
    assert overall["auc"]["clusters"] == 4
    assert overall["recall_at_1"]["n"] == 16
    assert {"fmr", "fnmr"} <= set(report["tasks"]["same_person"]["groups"]["half"]["odd"])
    assert report["baselines"]["HOG"]["overall"]["auc"]["value"] is not None
    assert json.loads((tmp_path / "eval" / "report.json").read_text())["tasks"] == report["tasks"]
    page = (tmp_path / "eval" / "report.html").read_text()
    assert "This is face recognition technology" in page
    assert "recall at 1" in page
    assert len(pd.read_csv(tmp_path / "eval" / "csv" / "pairs.csv")) == 120


def test_the_label_that_names_the_pairs_is_the_identity(identity_model, people, tmp_path):
    manifest = read_manifest(people)
    table = manifest.table.assign(family=manifest.table["source"].str[-2:].astype(int) // 2)
    labels = {**manifest.labels, "family": Label("identity")}
    write_manifest(replace(manifest, table=table, labels=labels), people.parent / "families.parquet")
    data = people.parent / "families.parquet"
    report = verify(identity_model, data, "family", tmp_path / "eval", resamples=100, device="cpu")
    overall = report["tasks"]["same_person"]["overall"]
    # The four people of the test split form two families, too few for an interval.
    assert overall["auc"]["why"] == overall["map_at_r"]["why"] == "2 identities; at least 3 are needed"


def test_the_threshold_of_validation_pairs_is_stored(identity_model, people):
    found = read_config(identity_model).verification
    rows = read_manifest(people).only("val")
    images = np.stack([np.asarray(Image.open(path)) for path in rows.paths()]).transpose(0, 3, 1, 2)
    vectors = Embedder(identity_model, device="cpu").embed_images(np.ascontiguousarray(images))
    table = read_pairs("person", rows)
    similarity = (vectors[table["first"]] * vectors[table["second"]]).sum(axis=1)
    same = table["same"].to_numpy()
    assert (found.label, found.pairs, found.people) == ("person", 120, 4)
    assert found.false_match_rate == pytest.approx((similarity >= found.threshold)[~same].mean())
    assert found.false_non_match_rate == pytest.approx((similarity < found.threshold)[same].mean())
    rates = [(similarity >= at)[~same].mean() + (similarity < at)[same].mean() for at in similarity]
    assert found.false_match_rate + found.false_non_match_rate == pytest.approx(min(rates))


def test_embeddings_of_a_folder_and_of_a_manifest_are_equal(identity_model, people, gallery, tmp_path):
    made = embed(identity_model, people, tmp_path / "manifest.parquet", split="test", device="cpu")
    table = read_embeddings(gallery)
    assert len(table.table) == len(SPLITS) * EACH
    assert np.allclose(np.linalg.norm(table.vectors, axis=1), 1, atol=1e-5)
    by_path = dict(zip(table.table["path"], table.vectors))
    for path, vector in zip(made.table["path"], made.vectors):
        np.testing.assert_allclose(by_path[path], vector, atol=1e-4)
    assert {"dataset", "source", "frame", "group.half"} <= set(made.table.columns)
    assert read_embeddings(tmp_path / "manifest.parquet").header == table.header
    assert table.header["threshold"] == read_config(identity_model).verification.threshold


def test_an_image_is_its_own_nearest_face(gallery, people, tmp_path):
    image = people.parent / "P_21_0002.png"
    (found,) = search(gallery, image, k=3, out=tmp_path / "hits.html", device="cpu")
    assert len(found.faces) == 3
    assert found.faces[0].path == str(image.resolve())
    assert found.faces[0].distance == pytest.approx(0, abs=1e-5)
    assert found.faces[0].same_person
    assert [hit.same_file for hit in found.faces] == [True, False, False]
    assert found.faces[0].similarity >= found.faces[1].similarity >= found.faces[2].similarity
    page = (tmp_path / "hits.html").read_text()
    assert page.count("data:image/jpeg") == 4
    assert f"{people.parent.name}/P_21_0002.png" in page
    assert page.count("the same file") == 1


def test_a_copy_of_the_query_is_marked_as_the_same_file(gallery, people, tmp_path):
    copied = tmp_path / "copy.png"
    copied.write_bytes((people.parent / "P_21_0002.png").read_bytes())
    (found,) = search(gallery, copied, k=2, device="cpu")
    assert [hit.same_file for hit in found.faces] == [True, False]
    shown = CliRunner().invoke(app, ["search", str(gallery), str(copied), "-k", "1", "--device", "cpu"])
    assert shown.stdout.rstrip().endswith(", the same file")


def test_faiss_finds_the_neighbors_of_scikit_learn(monkeypatch):
    pytest.importorskip("faiss")
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(200, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    rows, similarities = nearest_neighbors(vectors[:20], vectors, 7)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    plain_rows, plain = nearest_neighbors(vectors[:20], vectors, 7)
    assert rows.tolist() == plain_rows.tolist()
    np.testing.assert_allclose(similarities, plain, atol=1e-5)


def test_a_model_of_identities_alone_is_not_exported(identity_model, tmp_path):
    with pytest.raises(InputError, match="computes embeddings and predicts no label"):
        export(identity_model, tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()


def test_nearest_neighbors_are_those_of_all_similarities():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(30, 8))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    rows, similarities = nearest_neighbors(vectors[:4], vectors, 5)
    wanted = np.argsort(-(vectors[:4] @ vectors.T), axis=1)[:, :5]
    assert rows.tolist() == wanted.tolist()
    np.testing.assert_allclose(similarities, np.take_along_axis(vectors[:4] @ vectors.T, wanted, 1), atol=1e-6)
    assert nearest_neighbors(vectors[:1], vectors[:3], 9)[0].shape == (1, 3)


def test_pairs_of_every_form_are_the_same_rows(people, tmp_path):
    rows = read_manifest(people).only("test")
    (tmp_path / "pairs.txt").write_text("2\t1\nP_20\t1\t2\nP_20\t1\tP_21\t2\nP_22\t3\t4\nP_22\t1\tP_23\t4\n")
    listed = "path1,path2,same,fold\nP_20_0001.png,P_20_0002.png,1,a\nP_20_0001.png,P_21_0002.png,0,a\n"
    listed += "P_22_0003.png,P_22_0004.png,1,b\nP_22_0001.png,P_23_0004.png,0,b\n"
    (tmp_path / "pairs.csv").write_text(listed)
    found = [read_pairs(tmp_path / name, rows) for name in ("pairs.txt", "pairs.csv")]
    assert found[0].astype(int).to_dict("list") == found[1].astype(int).to_dict("list")
    wanted = {"first": [0, 0, 10, 8], "second": [1, 5, 11, 15], "same": [1, 0, 1, 0], "fold": [0, 0, 1, 1]}
    assert found[0].astype(int).to_dict("list") == wanted


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("path1,path2\na,b\n", "column 'same' is missing; expected path1, path2, same"),
        ("path1,path2,same\nP_20_0001.png,P_20_0002.png,maybe\n", "row 1 has same 'maybe'; expected 0 or 1"),
        ("path1,path2,same\nP_00_0001.png,P_20_0002.png,0\n", "image 'P_00_0001.png' is not in this split"),
        ("", "not a table of pairs"),
    ],
)
def test_wrong_pairs_are_refused_in_one_sentence(people, tmp_path, text, sentence):
    (tmp_path / "pairs.csv").write_text(text)
    with pytest.raises(InputError, match=sentence):
        read_pairs(tmp_path / "pairs.csv", read_manifest(people).only("test"))


def test_pairs_of_a_class_label_are_refused(people):
    manifest = read_manifest(people).only("test")
    manifest = Manifest(manifest.table.assign(emotion="sad"), {"emotion": Label("class", ("happy", "sad"))}, ())
    expected = "label 'emotion' is of kind 'class'; expected a label of kind 'identity' or a pair file"
    with pytest.raises(InputError, match=expected):
        read_pairs("emotion", manifest)


def test_people_that_were_trained_or_selected_on_are_refused(identity_model, people, tmp_path):
    for split, used in (("train", "trained"), ("val", "selected, and its threshold chosen,")):
        with pytest.raises(InputError, match=f"the model was {used} on split '{split}'"):
            verify(identity_model, people, "person", tmp_path / "eval", split=split, device="cpu")
    assert not (tmp_path / "eval").exists()


def test_wrong_input_of_search_is_refused(gallery, people, identity_model, trained, tmp_path):
    image = people.parent / "P_21_0002.png"
    with pytest.raises(InputError, match="are not those that computed the table"):
        search(gallery, image, model=trained, device="cpu")
    with pytest.raises(InputError, match="not a table of embeddings"):
        search(people, image, device="cpu")
    with pytest.raises(InputError, match="no such table of embeddings"):
        search(tmp_path / "none.parquet", image, device="cpu")
    (tmp_path / "text.jpg").write_text("no image")
    with pytest.raises(InputError, match=r"text\.jpg"):
        search(gallery, tmp_path / "text.jpg", device="cpu")


def test_wrong_input_of_embed_is_refused(identity_model, people, tmp_path):
    (tmp_path / "empty").mkdir()
    for source, out, sentence in (
        (tmp_path / "empty", "e.parquet", "the folder has no images"),
        (tmp_path / "none", "e.parquet", "no such folder, image or manifest"),
        (people.parent, "e.csv", "must end in .parquet"),
    ):
        with pytest.raises(InputError, match=sentence):
            embed(identity_model, source, tmp_path / out, device="cpu")
    with pytest.raises(InputError, match="--split test does not apply"):
        embed(identity_model, people.parent, tmp_path / "e.parquet", split="test", device="cpu")


def test_every_model_gives_embeddings(trained, people, tmp_path):
    made = embed(trained, people.parent / "P_00_0001.png", tmp_path / "one.parquet", device="cpu")
    assert made.header["threshold"] is None
    assert np.linalg.norm(made.vectors[0]) == pytest.approx(1, abs=1e-5)


def test_the_commands_print_figures_and_json(identity_model, people, gallery, tmp_path):
    runner, image = CliRunner(), str(people.parent / "P_20_0001.png")
    found = runner.invoke(app, ["search", str(gallery), image, "-k", "2", "--json", "--device", "cpu"])
    assert len(json.loads(found.stdout)[0]["hits"]) == 2
    command = ["evaluate", str(identity_model), "--data", str(people), "--out", str(tmp_path / "eval")]
    refused = runner.invoke(app, [*command, "--pairs", "person", "--corruption", "fog"])
    assert str(refused.exception) == "--corruption does not apply to --pairs; remove it"
    shown = runner.invoke(app, [*command, "--pairs", "person", "--resamples", "100", "--device", "cpu"])
    assert shown.exit_code == 0
    assert "auc: " in shown.stdout


@pytest.mark.slow
def test_people_of_orl_are_verified_above_chance(shared_data, tmp_path):
    """Twenty-three people are trained, six others verified; too few to compare with the baselines."""
    options = {"dataset": "orl", "source": "identity", "label": ["identity:identity"]}
    prepare("table", shared_data / "identity_orl" / "labels.csv", out=tmp_path / "orl.parquet", options=options)
    settings = [f"encoder.{each}" for each in ("image_size=64", "width=64", "depth=2", "heads=2")]
    settings += ["tasks=identity", "train.epochs=10", "train.batch_size=32"]
    train("metric_learning", tmp_path / "orl.parquet", tmp_path / "run", overrides=settings, device="cpu")
    report = verify(tmp_path / "run", tmp_path / "orl.parquet", "identity", tmp_path / "eval", device="cpu")
    assert report["tasks"]["same_person"]["overall"]["auc"]["low"] > 0.5
