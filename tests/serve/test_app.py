import io
import logging
import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from auxface.errors import InputError
from auxface.inference.prediction import Prediction
from auxface.inference.predictor import Predictor, TorchScorer
from auxface.model.card import model_card
from auxface.model.config import Evidence
from auxface.model.saved_model import SavedModel
from auxface.serve.app import create_app
from auxface.serve.page_content import card_page, to_html
from auxface.serve.request_handler import Batcher
from auxface.serve.settings import Settings


def png(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def client(predictor):
    with TestClient(create_app(predictor, Settings("little", max_bytes=200_000, max_pixels=300_000))) as made:
        yield made


def test_image_gets_the_answer_of_the_predictor(client, predictor, face):
    expected = predictor(face).to_dict()
    for reply in (
        client.post("/predict", files={"file": ("my name.png", face)}),
        client.post("/predict", content=face),
    ):
        assert reply.status_code == 200
        body = reply.json()
        assert len(body["input"]) == 64
        found = body["faces"][0]["tasks"]["mood"]["probabilities"]
        assert found == pytest.approx(expected["faces"][0]["tasks"]["mood"]["probabilities"], abs=1e-6)


def test_explanation_has_all_layers(client, face):
    body = client.post("/explain?task=forged", files={"file": face}).json()
    names = [layer["name"] for layer in body["layers"]]
    assert names[:3] == ["crop", "attention", "gradients"]
    assert names[3:] == [
        "local_binary_pattern",
        "local_binary_pattern.reconstruction",
        "local_binary_pattern.reconstruction_error",
    ]
    assert all(layer["image"].startswith("data:image/png;base64,") for layer in body["layers"])


def test_video_is_tracked_and_leaves_no_file(client, clip, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    body = client.post("/predict", files={"file": clip}).json()
    assert body["video"]["frames"] == 20
    assert body["video"]["tracks"][0]["scores"]["forged"]["forged"]
    assert list(tmp_path.iterdir()) == []
    assert client.post("/predict", content=clip[:3000]).status_code == 422
    assert list(tmp_path.iterdir()) == []


def test_errors_are_json_with_a_reason(client, face):
    large = png(np.zeros((900, 900, 3), np.uint8))
    noise = png(np.random.default_rng(0).integers(0, 255, (400, 400, 3), np.uint8))
    for status, reply in (
        (413, client.post("/predict", content=noise)),
        (413, client.post("/predict", content=large)),
        (413, client.post("/predict", files={"file": noise})),
        (415, client.post("/predict", content=b"just words, no image")),
        (422, client.post("/predict", content=b"")),
        (422, client.post("/predict", content=face[: len(face) // 2])),
        (422, client.post("/predict", files={"other": face})),
        (400, client.post("/predict", content=b"--x", headers={"content-type": "multipart/form-data"})),
        (422, client.post("/explain?face=-1", content=face)),
        (422, client.post("/explain?face=7", content=face)),
        (422, client.post("/explain?task=age", content=face)),
        (405, client.get("/predict")),
        (404, client.get("/samples/99")),
        (404, client.get("/report")),
        (404, client.get("/page/../app.py")),
    ):
        assert (reply.status_code, list(reply.json())) == (status, ["reason"]), reply.text


def test_upload_without_content_length_is_limited(client):
    def endless():
        for _ in range(1000):
            yield b"\xff\xd8\xff" + b"0" * 10_000

    assert client.post("/predict", content=endless()).status_code == 413


def test_full_queue_rejects_with_retry_after(predictor, face, monkeypatch):
    app = create_app(predictor, Settings("little", queue=1))
    hold, started = threading.Event(), threading.Event()

    def slow(self, images):
        started.set()
        hold.wait(60)
        return iter([Prediction("x", (), "slow")])

    with TestClient(app) as client:
        with monkeypatch.context() as patch:
            patch.setattr(Predictor, "stream", slow)
            first = threading.Thread(target=lambda: client.post("/predict", content=face))
            first.start()
            assert started.wait(60)
            reply = client.post("/predict", content=face)
            hold.set()
            first.join()
        assert (reply.status_code, reply.headers["retry-after"]) == (429, "1")
        assert client.get("/health").json() == {"status": "ok", "in_hand": 0, "queue": 1}
        assert client.post("/predict", content=face).status_code == 200


def test_slow_request_times_out(predictor, face, monkeypatch):
    released = threading.Event()
    monkeypatch.setattr(Predictor, "stream", lambda self, images: released.wait(60) and iter([]))
    with TestClient(create_app(predictor, Settings("little", max_seconds=0.1))) as client:
        reply = client.post("/predict", content=face)
        released.set()
    assert (reply.status_code, "0.1 s" in reply.json()["reason"]) == (503, True)


def test_token_is_required_except_for_page_and_health(predictor, face):
    with TestClient(create_app(predictor, Settings("little", token="secret"))) as client:
        for path in ("/model", "/card", "/report", "/samples/0", "/openapi.json"):
            assert client.get(path).status_code == 401
        assert client.post("/predict", content=face).status_code == 401
        assert client.get("/").status_code == client.get("/health").status_code == 200
        assert client.get("/page/style.css").status_code == 200
        for wrong in ("secre", "Bearer wrong", "Bearer secrét"):
            assert client.get("/model", headers={"authorization": wrong.encode()}).status_code == 401
        assert client.get("/model", headers={"authorization": "Bearer secret"}).status_code == 200


@pytest.mark.parametrize("token", ["", " "])
def test_an_empty_token_is_refused(token):
    with pytest.raises(InputError, match=r"AUXFACE_TOKEN.* is empty; give a token"):
        Settings("little", token=token)


def test_links_of_the_page_accept_the_token_as_a_password(predictor, face):
    with TestClient(create_app(predictor, Settings("little", token="secret"))) as client:
        for path in ("/card", "/openapi.json"):
            assert client.get(path).headers["www-authenticate"].startswith("Basic ")
            assert client.get(path, auth=("", "secret")).status_code == 200
            for wrong in ("Basic", "Basic é", "Basic c2VjcmV0", "Basic //79"):
                assert client.get(path, headers={"authorization": wrong.encode()}).status_code == 401
            assert client.get(path, auth=("secret", "")).status_code == 401
        assert client.get("/model").headers["www-authenticate"] == "Bearer"
        assert client.get("/model", auth=("", "secret")).status_code == 401
        assert client.post("/predict", content=face, auth=("", "secret")).status_code == 401


def test_local_server_rejects_other_host_names(client):
    assert client.get("/model", headers={"host": "evil.example"}).status_code == 400
    assert client.get("/model", headers={"host": "localhost:8000"}).status_code == 200


def test_log_contains_only_the_hash_of_an_image(client, face, caplog):
    with caplog.at_level(logging.DEBUG):
        body = client.post("/predict", files={"file": ("my secret name.png", face)}).json()
        client.post("/predict", files={"file": ("my secret name.png", face[:99])})
    log = "\n".join(record.getMessage() for record in caplog.records)
    assert body["input"] in log
    assert "secret" not in log
    assert "calm" not in log


def test_pages_load_nothing_from_other_sites(client):
    for path in ("/", "/card"):
        reply = client.get(path)
        assert "default-src 'self'" in reply.headers["content-security-policy"]
        assert "http://" not in reply.text
        assert "https://" not in reply.text


def test_model_card_is_escaped(predictor):
    recipe = predictor.config.recipe.model_copy(update={"name": "<script>alert(1)</script>"})
    config = predictor.config.model_copy(
        update={"recipe": recipe, "provenance": {"<img src=x onerror=alert(1)>": "`<b>`"}}
    )
    page = card_page(config)
    assert "<script>" not in page
    assert "<img" not in page
    assert "<b>" not in page
    assert "<td>b</td>" in to_html("| a | b |\n|---|---|\n| a | b |")


def test_faces_of_waiting_requests_share_a_batch(predictor):
    sizes: list[int] = []
    begun, release = threading.Event(), threading.Event()

    class Slow:
        config = predictor.config

        def score_images(self, images, *, batch_size=64):
            sizes.append(len(images))
            begun.set()
            release.wait(60)
            return {"mood": images.reshape(len(images), -1)[:, :1].astype(np.float32)}

    batcher = Batcher(Slow(), max_faces=5)
    images = np.arange(9, dtype=np.uint8).reshape(9, 1, 1, 1)
    first = batcher.submit(images[:1])
    assert begun.wait(60)
    later = [batcher.submit(images[n : n + 2]) for n in (1, 3, 5, 7)]
    canceled = batcher.submit(images[:1])
    canceled.cancel()
    release.set()
    assert [future.result(60)["mood"].ravel().tolist() for future in (first, *later)] == [
        [0],
        [1, 2],
        [3, 4],
        [5, 6],
        [7, 8],
    ]
    batcher.close()
    assert sizes[:3] == [1, 4, 4]


def test_model_error_fails_only_its_own_requests(predictor):
    class Failing:
        config = predictor.config
        calls = 0

        def score_images(self, images, *, batch_size=64):
            self.calls += 1
            if self.calls == 1:
                raise RuntimeError("once")
            return {"mood": np.zeros((len(images), 1), np.float32)}

    batcher = Batcher(Failing(), max_faces=4)
    with pytest.raises(RuntimeError, match="once"):
        batcher.submit(np.zeros((1, 3, 4, 4), np.uint8)).result(60)
    assert batcher.submit(np.zeros((2, 3, 4, 4), np.uint8)).result(60)["mood"].shape == (2, 1)
    batcher.close()


def test_audit_is_served_at_report(predictor, tmp_path):
    (tmp_path / "report.html").write_text("<p>audit</p>")
    (tmp_path / "csv").mkdir()
    (tmp_path / "csv" / "models.csv").write_text("model,auc")
    with TestClient(create_app(predictor, Settings("little", report=str(tmp_path)))) as client:
        assert client.get("/model").json()["report"] is True
        assert client.get("/report").text == "<p>audit</p>"
        assert client.get("/csv/models.csv").text == "model,auc"
        assert client.get("/report.json").status_code == 404
        (tmp_path / "report.json").write_text("{}")
        assert client.get("/report.json").json() == {}
        for path in ("/csv/other.csv", "/csv/..%2Freport.html"):
            assert client.get(path).status_code == 404
    assert Path(tmp_path / "report.html").is_file()


def test_api_and_card_state_what_is_not_learned(saved, face):
    shown = {"auc": 0.55, "high": 0.7, "precision": 0.5, "n": 40, "clusters": 40, "low": 0.45}
    known = {name: Evidence(**shown) for name in ("calm", "glad")}
    tasks = tuple(
        task.model_copy(update={"evidence": known if task.name == "mood" else {}}) for task in saved.config.tasks
    )
    config = saved.config.model_copy(update={"tasks": tasks})
    unlearned = Predictor(TorchScorer(SavedModel(saved.model, config), "cpu"), warn=lambda text: None)
    with TestClient(create_app(unlearned, Settings("little"))) as client:
        answers = client.post("/predict", content=face).json()["faces"][0]["tasks"]
        assert (answers["mood"]["class"], answers["mood"]["learned"]) == (None, False)
        assert answers["forged"]["learned"] is None
        described = client.get("/model").json()["tasks"][0]
        assert described["evidence"]["glad"]["low"] == 0.45
        assert "| mood | glad | 0.550 (0.450 to 0.700) | - | 40 | no |" in model_card(config)
        assert "<td>mood</td><td>glad</td>" in client.get("/card").text
