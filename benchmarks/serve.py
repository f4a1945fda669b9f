"""How many requests a server answers: 64 clients at once, faces batched across requests against one at a time.

    python benchmarks/serve.py MODEL --pictures FOLDER [--seconds 60] [--workers 1]

Clients and server share the processor. Each client sends one picture after the other; refusals (429, 503) are counted
apart from failures, of which there must be none.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np

CLIENTS = 64


async def client(host, port, pictures, number, end, times, statuses):
    turn = number
    while time.perf_counter() < end:
        data = pictures[turn % len(pictures)]
        turn += 1
        start = time.perf_counter()
        try:
            reader, writer = await asyncio.open_connection(host, port)
            head = (
                f"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(data)}\r\nConnection: close\r\n\r\n"
            )
            writer.write(head.encode() + data)
            await writer.drain()
            reply = await reader.read()
            writer.close()
            status = int(reply.split(b" ", 2)[1])
        except (OSError, IndexError, ValueError) as error:
            status = type(error).__name__
        statuses[status] += 1
        if status == 200:
            times.append(time.perf_counter() - start)
        elif status in (429, 503):
            await asyncio.sleep(0.05)


async def load(host, port, pictures, seconds, clients):
    times, statuses = [], Counter()
    end = time.perf_counter() + seconds
    await asyncio.gather(*(client(host, port, pictures, n, end, times, statuses) for n in range(clients)))
    return np.array(times), statuses


def measure(model, pictures, seconds, workers, batch, clients):
    command = [sys.executable, "-m", "auxface", "serve", model, "--port", "0", "--workers", str(workers)]
    command += ["--batch", str(batch), "--queue", str(clients)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        port = int(server.stdout.readline().rsplit(":", 1)[1])
        for _ in range(100):
            _, statuses = asyncio.run(load("127.0.0.1", port, pictures, 0.2, 1))
            if statuses[200]:
                break
        times, statuses = asyncio.run(load("127.0.0.1", port, pictures, seconds, clients))
    finally:
        server.terminate()
        server.wait()
    return {
        "batch": batch,
        "answers_per_second": round(len(times) / seconds, 1),
        "p50_ms": round(1000 * float(np.percentile(times, 50)), 1),
        "p99_ms": round(1000 * float(np.percentile(times, 99)), 1),
        "statuses": {str(key): value for key, value in statuses.items()},
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--pictures", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--clients", type=int, default=CLIENTS)
    arguments = parser.parse_args()
    pictures = [path.read_bytes() for path in sorted(arguments.pictures.rglob("*.*"))[:200]]
    results = [
        measure(arguments.model, pictures, arguments.seconds, arguments.workers, batch, arguments.clients)
        for batch in (32, 1)
    ]
    ratio = results[0]["answers_per_second"] / results[1]["answers_per_second"]
    print(
        json.dumps({"clients": arguments.clients, "results": results, "batched_over_single": round(ratio, 2)}, indent=1)
    )


if __name__ == "__main__":
    main()
