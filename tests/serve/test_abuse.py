"""What an open server meets: requests by the schema, and thousands of files that are none."""

import gc
import os

import numpy as np
import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings

from auxface.serve.app import create_app
from auxface.serve.settings import Settings

schemathesis = pytest.importorskip("schemathesis")


@pytest.fixture(scope="module")
def app(predictor):
    return create_app(predictor, Settings("little", max_bytes=100_000, max_pixels=200_000, samples=1))


def test_the_schema_names_every_refusal(app):
    paths = app.openapi()["paths"]
    assert set(paths) == {"/predict", "/explain", "/health", "/model"}
    for path in ("/predict", "/explain"):
        assert {"200", "413", "415", "422", "429", "503"} <= set(paths[path]["post"]["responses"])


@pytest.mark.parametrize("path", ["/predict", "/explain", "/health", "/model"])
def test_no_request_by_the_schema_makes_a_server_error(app, path):
    [operation] = schemathesis.openapi.from_asgi("/openapi.json", app)[path].values()

    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy())
    def ask(case):
        response = case.call()
        assert response.status_code < 500, response.text
        case.validate_response(response, checks=[schemathesis.checks.not_a_server_error])

    ask()


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    kind = rng.integers(5)
    if kind == 0:
        return data[: rng.integers(1, len(data))]
    if kind == 1:
        return data[:8] + rng.bytes(int(rng.integers(0, 4000)))
    if kind == 2:
        return rng.bytes(int(rng.integers(0, 300)))
    if kind == 3:
        marks = (
            b"\xff\xd8\xff",
            b"GIF89a",
            b"RIFF\0\0\0\0WEBP",
            b"II*\0",
            b"BM",
            b"\0\0\0\x18ftypmp42",
            b"\x1aE\xdf\xa3",
        )
        return marks[rng.integers(len(marks))] + rng.bytes(400)
    changed = bytearray(data)
    for place in rng.integers(0, len(data), size=int(rng.integers(1, 30))):
        changed[place] = rng.integers(256)
    return bytes(changed)


def resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def throw(app, face, clip, count, seed):
    rng = np.random.default_rng(seed)
    seen = set()
    with TestClient(app, raise_server_exceptions=False) as client:
        for number in range(count):
            data = damaged(clip if number % 10 == 0 else face, rng)
            if number % 3:
                reply = client.post("/predict", content=data)
            else:
                reply = client.post("/predict", files={"file": ("x", data)})
            assert reply.status_code in (200, 400, 413, 415, 422), (number, reply.status_code, reply.text)
            seen.add(reply.status_code)
        assert client.post("/predict", content=face).status_code == 200
    return seen


def test_malformed_uploads_are_refused_and_the_server_stays_up(predictor, face, clip):
    app = create_app(predictor, Settings("little", max_bytes=100_000, max_pixels=200_000))
    assert {415, 422} <= throw(app, face, clip, 300, seed=0)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="reads memory from /proc")
def test_ten_thousand_malformed_uploads_leave_memory_flat(predictor, face, clip):
    settings = Settings("little", max_bytes=100_000, max_pixels=200_000)
    throw(create_app(predictor, settings), face, clip, 1000, seed=1)
    gc.collect()
    before = resident()
    throw(create_app(predictor, settings), face, clip, 10_000, seed=2)
    gc.collect()
    assert resident() - before < 60 * 2**20
