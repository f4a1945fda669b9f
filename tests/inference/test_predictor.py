import io
import threading

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from auxface.data.faces import FaceSettings
from auxface.data.images.decode import UnreadableImage
from auxface.errors import InputError
from auxface.inference.answers import answers_from_scores, forgery_note
from auxface.inference.prediction import NO_FACE
from auxface.inference.predictor import Predictor, TorchScorer
from auxface.model.config import Evidence, TaskRecord
from auxface.model.saved_model import SavedModel


@pytest.fixture(scope="module")
def predictor(saved):
    return Predictor(TorchScorer(saved, "cpu"))


def as_png(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def test_all_input_types_give_the_same_answer(predictor, faces, tmp_path):
    face = faces[0]
    path = tmp_path / "face.png"
    path.write_bytes(as_png(face))
    kinds = [path, str(path), path.read_bytes(), face, Image.fromarray(face), torch.from_numpy(face).permute(2, 0, 1)]
    answers = [predictor(kind).to_dict()["faces"] for kind in kinds]
    assert all(answer == answers[0] for answer in answers)
    tasks = answers[0][0]["tasks"]
    assert set(tasks) == {"mood", "forged", "has"}
    assert {"class", "probability", "probabilities", "threshold", "abstained", "learned"} <= set(tasks["mood"])


def test_probabilities_use_the_stored_temperature(predictor, saved, faces):
    square = np.asarray(Image.fromarray(faces[1]).resize((32, 32), Image.Resampling.BILINEAR))
    with torch.no_grad():
        logits = saved.model.logits(torch.from_numpy(square.copy()).permute(2, 0, 1)[None].float() / 255)
    expected = (logits["mood"][0] / 2).softmax(0).tolist()
    answer = predictor(faces[1]).faces[0].tasks["mood"]
    np.testing.assert_allclose(list(answer.probabilities.values()), expected, atol=1e-6)
    assert answer.answer == ("calm", "glad", "cross")[int(np.argmax(expected))]
    forged = predictor(faces[1]).faces[0].tasks["forged"]
    score = float((logits["forged"][0, 0] / 2).sigmoid())
    assert forged.probabilities == pytest.approx({"real": 1 - score, "forged": score}, abs=1e-6)
    assert (forged.answer, forged.threshold) == ("forged" if score >= 0.3 else "real", 0.3)


def test_the_evaluation_crop_of_the_recipe_is_applied(predictor, saved, faces):
    encoder = saved.config.recipe.encoder.model_copy(update={"evaluation_crop": 0.5})
    recipe = saved.config.recipe.model_copy(update={"encoder": encoder})
    cropped = SavedModel(saved.model, saved.config.model_copy(update={"recipe": recipe}))
    found, expected = (
        Predictor(TorchScorer(cropped, "cpu"))(faces[0]).faces[0],
        predictor(faces[0][16:48, 16:48]).faces[0],
    )
    assert found.box == (16.0, 16.0, 32.0, 32.0)
    assert found.tasks == expected.tasks


def test_lists_keep_order_and_unreadable_images(predictor, faces, tmp_path):
    results = predictor([faces[0], tmp_path / "none.png", b"", faces[1]])
    assert [result.reason for result in results] == [None, "no such file", "empty file", None]
    for place, face in ((0, faces[0]), (3, faces[1])):
        alone, among = (one.faces[0].tasks["mood"].probabilities for one in (predictor(face), results[place]))
        assert among == pytest.approx(alone, abs=1e-6)


def test_generator_is_streamed(predictor, faces):
    given = 0

    def endless():
        nonlocal given
        while True:
            given += 1
            yield faces[given % len(faces)]

    stream = predictor(endless())
    first = [next(stream) for _ in range(3)]
    assert len(first) == 3
    assert given < 200


def test_the_next_images_are_decoded_while_some_are_scored(predictor, faces, monkeypatch):
    """Scoring waits here until images after its own are decoded, which would never happen one after the other."""
    decoded, later = [], threading.Event()
    crop, score = predictor.crop_faces, predictor.scorer.score_images

    def crop_faces(image):
        decoded.append(image)
        if len(decoded) > 64:
            later.set()
        return crop(image)

    def score_images(images, **options):
        assert later.wait(20)
        return score(images, **options)

    monkeypatch.setattr(predictor, "crop_faces", crop_faces)
    monkeypatch.setattr(predictor.scorer, "score_images", score_images)
    results = predictor.predict([faces[number % 2] for number in range(150)])
    for number, result in enumerate(results):
        first, found = (one.faces[0].tasks["mood"].probabilities for one in (results[number % 2], result))
        assert found == pytest.approx(first, abs=1e-6)
    assert len(results) == len(decoded) == 150


def test_images_before_an_error_of_the_iterable_are_predicted(predictor, faces):
    def failing():
        yield from [faces[0]] * 70
        raise OSError("no more")

    found = []
    with pytest.raises(OSError, match="no more"):
        found.extend(predictor(failing()))
    assert len(found) == 70
    assert list(predictor(iter([]))) == []


@pytest.mark.parametrize(
    "wrong", [np.zeros((4, 4), np.int64), np.full((4, 4, 3), 2.0), torch.zeros(4, 4, 3, dtype=torch.uint8), 7]
)
def test_arrays_of_wrong_shape_or_dtype_are_rejected(predictor, wrong):
    with pytest.raises(InputError, match=r"uint8|\[0, 1\]|permute|expected a path"):
        predictor.predict([wrong])


def test_urls_are_fetched_only_if_allowed(predictor):
    assert "--allow-urls" in predictor("http://127.0.0.1:9/x.png").reason
    allowed = Predictor(predictor.scorer, allow_urls=True)
    assert "cannot be fetched" in allowed("http://127.0.0.1:9/x.png").reason


@pytest.fixture
def site():
    """Run a local web server; yield its URL and a dict from paths to bodies."""
    import http.server
    import threading

    bodies: dict[str, bytes] = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path == "/moved":
                self.send_response(302)
                self.send_header("Location", "ftp://127.0.0.1/x.png")
                self.end_headers()
                return
            self.send_response(200 if self.path in bodies else 404)
            self.end_headers()
            self.wfile.write(bodies.get(self.path, b""))

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", bodies
    server.shutdown()
    server.server_close()


def test_url_gives_the_answer_of_its_file(predictor, faces, site, monkeypatch):
    address, bodies = site
    bodies |= {"/face.png": as_png(faces[0]), "/page": b"<html>", "/large": b"\0" * 5000}
    allowed = Predictor(predictor.scorer, allow_urls=True)
    found = allowed(f"{address}/face.png")
    assert found.input == f"{address}/face.png"
    assert found.to_dict()["faces"] == predictor(faces[0]).to_dict()["faces"]
    assert allowed(f"{address}/page").reason == "not an image"
    assert "404" in allowed(f"{address}/none").reason or "Not Found" in allowed(f"{address}/none").reason
    assert "cannot be fetched" in allowed(f"{address}/moved").reason
    from auxface.inference.preprocessing import fetch

    with pytest.raises(UnreadableImage, match="more than 0 MiB"):
        fetch(f"{address}/large", max_bytes=4000)


def test_model_of_cropped_faces_crops_faces(saved, faces):
    wide = np.full((200, 420, 3), 128, np.uint8)
    crop = FaceSettings(detector="haar", size=48, least=20).to_json()
    model = SavedModel(saved.model, saved.config.model_copy(update={"crop": crop}))
    warnings: list[str] = []
    predictor = Predictor(TorchScorer(model, "cpu"), warn=warnings.append)
    nothing = predictor(wide)
    assert (nothing.faces, nothing.reason, nothing.unreadable, warnings) == ((), NO_FACE, False, [])
    whole = Predictor(TorchScorer(model, "cpu"), faces="whole", warn=warnings.append)
    assert len(whole(wide).faces) == 1
    assert "trained on faces cropped with haar" in warnings[0]


def test_crops_of_a_photograph_equal_those_of_prepare(saved, shared_data):
    from auxface.data.faces import FaceCropper

    weights = shared_data.parent / "weights" / "yunet_n_640_640.onnx"
    image = np.asarray(Image.open(next((shared_data / "deepfake_dfdc_faces/images/real").glob("*.jpg"))).convert("RGB"))
    two = np.hstack([image, image])
    settings = FaceSettings(size=96, margin=0.2)
    model = SavedModel(saved.model, saved.config.model_copy(update={"crop": settings.to_json()}))
    predictor = Predictor(TorchScorer(model, "cpu"), weights=weights, warn=pytest.fail)
    crops, reason = predictor.crop_faces(two)
    assert (len(crops), reason) == (2, None)
    assert crops[0].box[0] < crops[1].box[0]
    [(face, square)] = FaceCropper(settings, weights).crop(image)
    alone, _ = predictor.crop_faces(image)
    assert alone[0].box == face.box
    from auxface.data.images.decode import fit_square

    np.testing.assert_array_equal(alone[0].pixels, fit_square(square, 32))


@pytest.mark.parametrize("crop", [{"detector": "yunet", "size": "big"}, {"detector": "none"}, {"detector": 3}])
def test_invalid_crop_settings_are_rejected(saved, crop):
    model = SavedModel(saved.model, saved.config.model_copy(update={"crop": crop}))
    with pytest.raises(InputError, match=r"crop|faces"):
        Predictor(TorchScorer(model, "cpu"))


def test_wide_image_scored_as_one_face_warns_once(saved):
    warnings: list[str] = []
    predictor = Predictor(TorchScorer(saved, "cpu"), warn=warnings.append)
    predictor([np.zeros((40, 100, 3), np.uint8)] * 3)
    assert len(warnings) == 1
    assert "100x40" in warnings[0]


def test_scores_in_abstain_band_get_no_answer():
    binary = TaskRecord(name="t", kind="binary", classes=("no", "yes"), thresholds={"yes": 0.5}, abstain=(0.4, 0.6))
    made = answers_from_scores(binary, np.array([[0.39], [0.4], [0.59], [0.6]]))
    assert [one.answer for one in made] == ["no", None, None, "yes"]
    single = TaskRecord(name="t", kind="class", classes=("a", "b", "c"), abstain=(0.0, 0.5))
    made = answers_from_scores(single, np.array([[0.4, 0.35, 0.25], [0.2, 0.5, 0.3]]))
    assert [(one.answer, one.abstained) for one in made] == [(None, True), ("b", False)]
    assert str(made[0]) == "no answer (too uncertain, in the model's abstain band; a 40%)"


def evidence(low, precision=None):
    return Evidence(auc=0.8, low=low, high=0.9, precision=precision, n=100, clusters=100)


def test_attributes_that_are_not_learned_are_not_answered():
    known = {"Hat": evidence(0.6), "Beard": evidence(0.59)}
    task = TaskRecord(name="has", kind="multilabel", classes=("Hat", "Beard"), evidence=known)
    (answer,) = answers_from_scores(task, np.array([[0.9, 0.9]]))
    assert (answer.answer, answer.learned, answer.not_learned) == (["Hat"], True, ("Beard",))
    assert answer.to_dict()["not_learned"] == ["Beard"]
    nothing = task.model_copy(update={"evidence": dict.fromkeys(known, evidence(None))})
    assert answers_from_scores(nothing, np.array([[0.9, 0.9]]))[0].to_dict()["learned"] is False


@pytest.mark.parametrize(
    ("kind", "classes", "scores"),
    [("binary", ("no", "yes"), [0.9]), ("class", ("no", "yes", "maybe"), [0.1, 0.8, 0.1])],
)
def test_a_class_that_is_not_learned_is_no_answer(kind, classes, scores):
    known = dict.fromkeys(classes, evidence(0.7)) | {"yes": evidence(0.5)}
    (answer,) = answers_from_scores(
        TaskRecord(name="t", kind=kind, classes=classes, evidence=known), np.array([scores])
    )
    assert (answer.answer, answer.learned, answer.headline) == (None, False, ())
    assert str(answer) == "no answer (yes is not learned: its validation AUC is not clearly above chance)"


def test_headline_names_answers_that_are_precise_or_probable():
    names = ("Probable", "Precise", "Neither")
    known = {"Probable": evidence(0.7, 0.3), "Precise": evidence(0.7, 0.8), "Neither": evidence(0.7, 0.79)}
    task = TaskRecord(
        name="has", kind="multilabel", classes=names, thresholds=dict.fromkeys(names, 0.2), evidence=known
    )
    (answer,) = answers_from_scores(task, np.array([[0.51, 0.23, 0.5]]))
    assert answer.answer == list(names)
    assert answer.headline == ("Probable", "Precise")
    assert str(answer) == "Probable, Precise; less certain: Neither"


def test_only_forgery_tasks_have_a_note():
    assert "not proof" in forgery_note(TaskRecord(name="label", kind="binary", classes=("real", "fake")))
    assert forgery_note(TaskRecord(name="hat", kind="binary", classes=("no", "yes"))) is None


def test_table_has_a_row_per_face_and_task_or_reason(predictor, faces):
    good, bad = predictor([faces[0], b"x"])
    table = pd.concat([good.to_frame(), bad.to_frame()])
    assert list(table["task"].iloc[:3]) == ["mood", "forged", "has"]
    assert table["reason"].iloc[3] == "not an image"


def test_plot_shows_the_image(predictor, faces):
    axes = predictor(faces[0]).plot().axes[0]
    assert axes.images[0].get_array().shape == (64, 64, 3)


def test_saved_directory_loads_as_the_same_predictor(predictor, model_folder, faces, tmp_path):
    again = Predictor.from_pretrained(model_folder, device="cpu")
    again.save_pretrained(tmp_path / "copy")
    third = Predictor.from_pretrained(tmp_path / "copy", device="cpu")
    assert third.config == predictor.config
    assert third(faces[0]).to_dict() == predictor(faces[0]).to_dict()
    assert sorted(path.name for path in (tmp_path / "copy").iterdir()) == [
        ".auxface.json",
        "README.md",
        "config.json",
        "model.safetensors",
    ]


def test_hub_download_fetches_only_three_files(model_folder, predictor, faces, monkeypatch):
    import huggingface_hub

    asked = []

    def snapshot(name, *, revision, allow_patterns):
        asked.append((name, revision, sorted(allow_patterns)))
        return str(model_folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    found = Predictor.from_pretrained("somebody/some-model", revision="v2", device="cpu")
    assert asked == [("somebody/some-model", "v2", ["README.md", "config.json", "model.safetensors"])]
    assert found(faces[0]).to_dict() == predictor(faces[0]).to_dict()


def test_push_to_hub_uploads_a_private_directory(predictor, monkeypatch):
    import huggingface_hub

    seen = {}

    class Api:
        def __init__(self, token):
            seen["token"] = token

        def create_repo(self, name, *, private, exist_ok):
            seen["repo"] = (name, private)

        def upload_folder(self, *, repo_id, folder_path, commit_message):
            seen["files"] = sorted(path.name for path in folder_path.iterdir())
            return f"https://hub/{repo_id}"

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    assert predictor.push_to_hub("me/model", token="t") == "https://hub/me/model"
    assert seen == {
        "token": "t",
        "repo": ("me/model", True),
        "files": ["README.md", "config.json", "model.safetensors"],
    }
    with pytest.raises(InputError, match="not a Hub name"):
        predictor.push_to_hub("no name")


def test_hub_name_without_network_is_an_input_error(monkeypatch):
    import huggingface_hub

    def offline(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", offline)
    with pytest.raises(InputError, match="Hub failed"):
        Predictor.from_pretrained("somebody/some-model")
    with pytest.raises(InputError, match="not a model directory"):
        Predictor.from_pretrained("no/such/place")
