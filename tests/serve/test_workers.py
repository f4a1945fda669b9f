"""Several worker processes behind one port."""

import json
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest


def assert_close(found, expected, atol):
    """Assert that two JSON documents are equal, except that numbers may differ by ``atol``."""
    assert type(found) is type(expected)
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
    if isinstance(expected, dict | list):
        assert len(found) == len(expected)
        for key in expected if isinstance(expected, dict) else range(len(expected)):
            assert_close(found[key], expected[key], atol)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=0, abs=atol)
    else:
        assert found == expected


@pytest.mark.timeout(300)
def test_two_workers_give_equal_answers_and_stop(serving, face):
    with serving("--workers", "2", "--queue", "8") as server:
        address = f"http://127.0.0.1:{server.port}"

        def ask(_):
            with urllib.request.urlopen(f"{address}/predict", face, timeout=150) as reply:
                return json.load(reply)

        seen: set[int] = set()
        end = time.monotonic() + 200
        # The kernel passes a connection to whichever worker accepts it first.
        while len(seen) < 2 and time.monotonic() < end:
            with ThreadPoolExecutor(8) as pool:
                answers = list(pool.map(ask, range(16)))
            # Requests share batches, which changes the last digits in fp32.
            for answer in answers[1:]:
                assert_close(answer, answers[0], atol=1e-5)
            lines = [json.loads(line) for line in server.log.read_text().splitlines() if line.startswith("{")]
            seen = {line["process"] for line in lines if "/predict" in line["message"]}
        assert len(seen) == 2
        assert server.process.pid not in seen
        with urllib.request.urlopen(f"{address}/health", timeout=150) as reply:
            assert json.load(reply)["queue"] == 8
        children = psutil.Process(server.process.pid).children(recursive=True)
        assert seen <= {child.pid for child in children}
        assert "Traceback" not in server.log.read_text()
    _, alive = psutil.wait_procs(children, timeout=20)
    assert alive == []
