"""Robustness: random requests by the schema, and thousands of malformed requests."""

import os
import socket
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from auxface.serve.app import create_app
from auxface.serve.settings import Settings

schemathesis = pytest.importorskip("schemathesis")
FLAGS = ("--max-megabytes", "0.1", "--max-megapixels", "0.2", "--max-seconds", "20")
SIGNATURES = (b"\xff\xd8\xff", b"GIF89a", b"RIFF\0\0\0\0WEBP", b"II*\0", b"BM", b"\0\0\0\x18ftypmp42", b"\x1aE\xdf\xa3")
OTHERS = (
    b"%PDF-1.7\n",
    b"PK\x03\x04" + b"\0" * 60,
    b"\x80\x05cos\nsystem\n",
    b"<svg onload='x'/>",
    b"#!/bin/sh\n",
    b"\x7fELF",
)


@pytest.fixture(scope="module")
def app(predictor):
    return create_app(predictor, Settings("little", max_bytes=100_000, max_pixels=200_000, samples=1))


def test_schema_lists_every_error(app):
    paths = app.openapi()["paths"]
    assert set(paths) == {"/predict", "/explain", "/health", "/model"}
    for path in ("/predict", "/explain"):
        assert {"200", "413", "415", "422", "429", "503"} <= set(paths[path]["post"]["responses"])


@pytest.mark.parametrize("path", ["/predict", "/explain", "/health", "/model"])
def test_requests_by_the_schema_cause_no_server_error(app, path):
    [operation] = schemathesis.openapi.from_asgi("/openapi.json", app)[path].values()

    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy())
    def ask(case):
        response = case.call()
        assert response.status_code < 500, response.text
        case.validate_response(response, checks=[schemathesis.checks.not_a_server_error])

    ask()


def corrupted(data: bytes, rng: np.random.Generator) -> bytes:
    """Return a corrupted file: truncated, overwritten, of another type, or with an absurd size in its header."""
    kind = rng.integers(7)
    if kind == 0:
        return data[: rng.integers(1, len(data))]
    if kind == 1:
        return data[:8] + rng.bytes(int(rng.integers(0, 4000)))
    if kind == 2:
        return rng.bytes(int(rng.integers(0, 300)))
    if kind == 3:
        return SIGNATURES[rng.integers(len(SIGNATURES))] + rng.bytes(400)
    if kind == 4:
        return OTHERS[rng.integers(len(OTHERS))] + rng.bytes(200)
    if kind == 5:
        return huge_png(int(rng.integers(1, 2**31)), int(rng.integers(1, 2**31)))
    changed = bytearray(data)
    for place in rng.integers(0, len(data), size=int(rng.integers(1, 30))):
        changed[place] = rng.integers(256)
    return bytes(changed)


def huge_png(width: int, height: int) -> bytes:
    """Return a small PNG whose header states a very large image."""

    def chunk(name, body):
        return len(body).to_bytes(4) + name + body + zlib.crc32(name + body).to_bytes(4)

    head = width.to_bytes(4) + height.to_bytes(4) + b"\x08\x02\0\0\0"
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")


def malformed(data: bytes, rng: np.random.Generator) -> tuple[bytes, bool]:
    """Return a malformed request as bytes, and whether it is complete, so that the server must respond."""
    path = (b"/predict", b"/explain", b"/predict?x=%00", b"/explain?face=999")[rng.integers(4)]
    kind = rng.integers(8)
    form = b"Content-Type: multipart/form-data; boundary=edge\r\n"
    part = b'--edge\r\nContent-Disposition: form-data; name="file"; filename="../x"\r\n\r\n'
    extra, complete = b"", True
    if kind == 0:
        extra, data = form, part + data + b"\r\n--edge--\r\n"
    elif kind == 1:
        # The form ends before its boundary.
        extra, data = form, (part + data)[: rng.integers(1, len(part) + len(data))]
    elif kind == 2:
        extra, data = form, part.replace(b"file", b"fil\xff\xfe", 1) * int(rng.integers(1, 30)) + data
    elif kind == 3:
        extra = b"Content-Type: multipart/form-data\r\n"
    elif kind == 4:
        extra = b"Content-Type: application/json\r\nContent-Encoding: gzip\r\n"
    length = len(data)
    if kind == 5:
        # The client closes the connection early.
        length, complete = len(data) + int(rng.integers(1, 5000)), False
    head = b"POST " + path + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" + extra
    if kind == 6:
        return head + b"Transfer-Encoding: chunked\r\n\r\n" + b"%x\r\n" % (len(data) + 7) + data + b"\r\n", False
    return head + b"Content-Length: %d\r\n\r\n" % length + data, complete


def status_of(port: int, request: bytes, complete: bool = True) -> int | None:
    """Return the status of the response to a request; None for none. Close the connection if it is not complete."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as line:
        try:
            line.sendall(request)
            if not complete:
                line.shutdown(socket.SHUT_WR)
            reply = b""
            while part := line.recv(65536):
                reply += part
        # The server may close the connection without reading the complete request.
        except (ConnectionResetError, BrokenPipeError):
            return None
    return int(reply.split(b" ", 2)[1]) if reply else None


def good(face: bytes) -> bytes:
    return (
        b"POST /predict HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(face)
        + face
    )


def send_malformed(server, face: bytes, clip: bytes, numbers: range) -> set[int | None]:
    seen: set[int | None] = set()
    for number in numbers:
        rng = np.random.default_rng(number)
        request, complete = malformed(corrupted(clip if number % 10 == 0 else face, rng), rng)
        status = status_of(server.port, request, complete)
        assert status in (200, 400, 408, 413, 415, 422, None if not complete else 422), (number, status)
        seen.add(status)
    assert server.process.poll() is None
    assert status_of(server.port, good(face)) == 200
    log = server.log.read_text()
    assert "Traceback" not in log, log[-3000:]
    return seen


def test_server_survives_malformed_uploads(serving, face, clip):
    with serving(*FLAGS) as server:
        assert {400, 413, 415, 422} <= send_malformed(server, face, clip, range(200))


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="reads memory from /proc")
def test_malformed_uploads_do_not_leak_memory(serving, face, clip):
    def resident() -> int:
        with open(f"/proc/{server.process.pid}/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    with serving(*FLAGS) as server:
        send_malformed(server, face, clip, range(1000, 3000))
        before = resident()
        send_malformed(server, face, clip, range(3000, 11_000))
        after = resident()
    print(f"resident: {before / 2**20:.0f} MiB after 2,000 uploads, {after / 2**20:.0f} MiB after 10,000")
    assert after - before < 24 * 2**20
