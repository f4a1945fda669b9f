"""Several processes behind one address."""

import json
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest


def assert_close(found, wanted, atol):
    """Two JSON documents are equal but for their numbers, which may differ by ``atol``."""
    assert type(found) is type(wanted)
    if isinstance(wanted, dict):
        assert found.keys() == wanted.keys()
    if isinstance(wanted, dict | list):
        assert len(found) == len(wanted)
        for key in wanted if isinstance(wanted, dict) else range(len(wanted)):
            assert_close(found[key], wanted[key], atol)
    elif isinstance(wanted, float):
        assert found == pytest.approx(wanted, rel=0, abs=atol)
    else:
        assert found == wanted


@pytest.mark.timeout(300)
def test_two_workers_answer_alike_and_stop_with_their_server(serving, face):
    with serving("--workers", "2", "--queue", "8") as server:
        address = f"http://127.0.0.1:{server.port}"

        def ask(_):
            with urllib.request.urlopen(f"{address}/predict", face, timeout=150) as reply:
                return json.load(reply)

        seen: set[int] = set()
        end = time.monotonic() + 200
        # The kernel gives a connection to whichever worker takes it first.
        while len(seen) < 2 and time.monotonic() < end:
            with ThreadPoolExecutor(8) as pool:
                answers = list(pool.map(ask, range(16)))
            # Requests share batches, of which fp32 leaves the last digits.
            for answer in answers[1:]:
                assert_close(answer, answers[0], atol=1e-5)
            lines = [json.loads(line) for line in server.said.read_text().splitlines() if line.startswith("{")]
            seen = {line["process"] for line in lines if "/predict" in line["said"]}
        assert len(seen) == 2
        assert server.process.pid not in seen
        with urllib.request.urlopen(f"{address}/health", timeout=150) as reply:
            assert json.load(reply)["queue"] == 8
        children = psutil.Process(server.process.pid).children(recursive=True)
        assert seen <= {child.pid for child in children}
        assert "Traceback" not in server.said.read_text()
    _, alive = psutil.wait_procs(children, timeout=20)
    assert alive == []
