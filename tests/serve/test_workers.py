"""Several processes behind one address."""

import json
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import psutil
import pytest


@pytest.mark.timeout(180)
def test_two_workers_answer_alike_and_stop_with_their_server(serving, face):
    with serving("--workers", "2", "--queue", "8") as server:
        address = f"http://127.0.0.1:{server.port}"

        def ask(_):
            return httpx.post(f"{address}/predict", content=face, timeout=60).json()

        seen: set[int] = set()
        end = time.monotonic() + 90
        # The kernel gives a connection to whichever worker takes it first.
        while len(seen) < 2 and time.monotonic() < end:
            with ThreadPoolExecutor(8) as pool:
                answers = list(pool.map(ask, range(16)))
            assert all(answer == answers[0] for answer in answers)
            lines = [json.loads(line) for line in server.said.read_text().splitlines() if line.startswith("{")]
            seen = {line["process"] for line in lines if "/predict" in line["said"]}
        assert len(seen) == 2
        assert server.process.pid not in seen
        assert httpx.get(f"{address}/health", timeout=60).json()["queue"] == 8
        children = psutil.Process(server.process.pid).children(recursive=True)
        assert seen <= {child.pid for child in children}
        assert "Traceback" not in server.said.read_text()
    _, alive = psutil.wait_procs(children, timeout=20)
    assert alive == []
