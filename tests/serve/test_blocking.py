"""Slow work and slow clients do not hold up other requests."""

import asyncio
import io
import json
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from fastapi.testclient import TestClient

from auxface.errors import InputError
from auxface.inference.predictor import Predictor, TorchScorer
from auxface.model.saved_model import SavedModel, save_model
from auxface.serve import request_handler
from auxface.serve.app import create_app, load_predictor
from auxface.serve.request_handler import RequestScope, _Canceled
from auxface.serve.settings import Settings


def test_health_answers_while_explanations_are_drawn(predictor, face, monkeypatch):
    started, release = threading.Event(), threading.Event()

    def slow(explanation):
        started.set()
        release.wait(60)
        return []

    monkeypatch.setattr(request_handler, "explanation_layers", slow)
    with TestClient(create_app(predictor, Settings("little"))) as client, ThreadPoolExecutor(1) as pool:
        explained = pool.submit(client.post, "/explain", content=face)
        assert started.wait(60)
        assert client.get("/health").status_code == 200
        assert not explained.done()
        release.set()
        assert explained.result(60).status_code == 200


def test_deadline_holds_while_an_explanation_is_drawn(predictor, face, monkeypatch):
    release = threading.Event()
    monkeypatch.setattr(request_handler, "explanation_layers", lambda one: release.wait(60))
    with TestClient(create_app(predictor, Settings("little", max_seconds=0.2))) as client:
        reply = client.post("/explain", content=face)
        release.set()
    assert (reply.status_code, "0.2 s" in reply.json()["reason"]) == (503, True)


class SlowVideo:
    """Reads a video endlessly until its check ends the work."""

    def __init__(self):
        self.started, self.ended = threading.Event(), threading.Event()

    def __call__(self, data, *, check):
        self.started.set()
        try:
            while True:
                check()
                time.sleep(0.005)
        finally:
            self.ended.set()


def test_decoding_ends_at_the_deadline(predictor, clip, monkeypatch):
    slow = SlowVideo()
    monkeypatch.setattr(request_handler, "index_video", slow)
    with TestClient(create_app(predictor, Settings("little", max_seconds=0.2))) as client:
        assert client.post("/predict", content=clip).status_code == 503
        assert slow.ended.wait(10)


def test_decoding_ends_when_the_client_leaves(predictor, clip, monkeypatch):
    slow = SlowVideo()
    monkeypatch.setattr(request_handler, "index_video", slow)
    app = create_app(predictor, Settings("little", max_seconds=120))
    messages: list[dict] = []

    async def run():
        async def receive():
            if not slow.started.is_set() and not messages:
                messages.append({"type": "http.request", "body": clip, "more_body": False})
                return messages[0]
            await asyncio.to_thread(slow.started.wait, 60)
            return {"type": "http.disconnect"}

        async def send(message):
            pass

        headers = [(b"host", b"localhost"), (b"content-length", str(len(clip)).encode())]
        scope = {"type": "http", "method": "POST", "path": "/predict", "raw_path": b"/predict", "query_string": b""}
        scope |= {"headers": headers, "http_version": "1.1", "client": None, "server": None}
        async with app.router.lifespan_context(app):
            await app(
                scope | {"headers": headers, "http_version": "1.1", "client": None, "server": None}, receive, send
            )
            assert await asyncio.to_thread(slow.ended.wait, 10)

    asyncio.run(run())


def test_a_scope_ends_its_work_at_the_deadline():
    scope = RequestScope(None, 0.0)
    time.sleep(0.001)
    with pytest.raises(_Canceled):
        scope.check()


def test_a_video_that_needs_too_much_decoding_is_refused(predictor, clip, monkeypatch):
    monkeypatch.setattr(request_handler, "_DECODED_PER_SCORED", 2)
    with TestClient(create_app(predictor, Settings("little", max_frames=4))) as client:
        reply = client.post("/predict", content=clip)
    assert (reply.status_code, "frames must be decoded, but the limit is 8" in reply.json()["reason"]) == (422, True)


def test_uploads_lie_in_memory_only(predictor, face, clip, monkeypatch):
    def refuse(*arguments, **options):
        raise AssertionError("a temporary file")

    for name in ("TemporaryFile", "NamedTemporaryFile", "mkstemp", "mkdtemp"):
        monkeypatch.setattr(tempfile, name, refuse)
    large = face + bytes(3 * 2**20)
    with TestClient(create_app(predictor, Settings("little"))) as client:
        assert client.post("/predict", files={"file": large}).status_code == 200
        assert client.post("/predict", files={"file": clip}).status_code == 200


@pytest.fixture(scope="module")
def nan_model(saved):
    class Broken(TorchScorer):
        def score_images(self, images, *, batch_size=None):
            return {name: values * np.nan for name, values in super().score_images(images).items()}

    return Predictor(Broken(saved, "cpu"), warn=lambda text: None)


def test_scores_that_are_not_finite_get_a_reason(nan_model, face, clip):
    with TestClient(create_app(nan_model, Settings("little"))) as client:
        for content in (face, clip):
            reply = client.post("/predict", content=content)
            assert (reply.status_code, "not finite" in reply.json()["reason"]) == (422, True)


def test_a_model_without_finite_scores_is_not_served(saved, tmp_path):
    import copy

    model = copy.deepcopy(saved.model)
    # Finite weights whose products overflow.
    for weight in model.parameters():
        weight.data.fill_(3e38)
    save_model(SavedModel(model, saved.config).model, tmp_path / "model", saved.config)
    with pytest.raises(InputError, match="are not finite"):
        load_predictor(Settings(str(tmp_path / "model")))


def test_an_error_of_the_server_is_json_with_security_headers(predictor, face, monkeypatch):
    monkeypatch.setattr(Predictor, "predict", lambda self, images: 1 / 0)
    with TestClient(create_app(predictor, Settings("little")), raise_server_exceptions=False) as client:
        reply = client.post("/predict", content=face)
    assert reply.status_code == 500
    assert list(reply.json()) == ["reason"]
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'self'" in reply.headers["content-security-policy"]


def test_head_gets_the_status_of_get(predictor):
    with TestClient(create_app(predictor, Settings("little"))) as client:
        assert client.head("/health").status_code == client.head("/").status_code == 200
        assert client.head("/samples/99").status_code == 404


def test_bearer_is_required_in_any_case(predictor):
    with TestClient(create_app(predictor, Settings("little", token="secret"))) as client:
        for given in ("Bearer secret", "bearer secret", "BEARER secret"):
            assert client.get("/model", headers={"authorization": given}).status_code == 200
        for given in ("secret", "Basic secret", "Bearersecret", "Bearer", ""):
            assert client.get("/model", headers={"authorization": given}).status_code == 401


@pytest.mark.timeout(240)
def test_slow_connections_do_not_starve_others(serving, face):
    """32 connections send half of their headers and 32 half of a body; other requests are answered."""
    with serving("--max-seconds", "60", "--queue", "16") as server:
        lines = []
        for number in range(64):
            line = socket.create_connection(("127.0.0.1", server.port), timeout=60)
            head = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Len"
            line.sendall(head if number % 2 else head + b"gth: 5000\r\n\r\n" + face[:100])
            lines.append(line)
        address = f"http://127.0.0.1:{server.port}"
        with urllib.request.urlopen(f"{address}/predict", face, timeout=60) as reply:
            assert json.load(reply)["faces"]
        # After a few seconds, further half-sent requests of the same client close the oldest ones.
        time.sleep(2.5)
        lines += [socket.create_connection(("127.0.0.1", server.port), timeout=60) for _ in range(8)]
        assert lines[0].recv(1) == b""
        # Headers that are not complete within ten seconds end the connection.
        assert lines[-1].recv(1) == b""
        with urllib.request.urlopen(f"{address}/predict", face, timeout=60) as reply:
            assert json.load(io.BytesIO(reply.read()))["faces"]
        for line in lines:
            line.close()


@pytest.mark.slow
def test_the_first_explanation_imports_no_module(model_folder):
    # Imports hold the interpreter, so that /health would not answer during the first explanation.
    program = (
        "import sys; import numpy as np; from auxface.serve.app import load_predictor\n"
        "from auxface.inference.explain import explain_image; from auxface.serve.schemas import explanation_layers\n"
        "from auxface.serve.settings import Settings\n"
        "predictor = load_predictor(Settings(sys.argv[1], device='cpu')); before = set(sys.modules)\n"
        "explanation_layers(explain_image(predictor, np.full((64, 64, 3), 90, np.uint8))[0])\n"
        "print(*set(sys.modules) - before)"
    )
    done = subprocess.run([sys.executable, "-c", program, str(model_folder)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []
