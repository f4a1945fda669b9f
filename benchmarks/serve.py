"""Measure the throughput of a server with 64 concurrent clients, with and without shared batches.

    python benchmarks/serve.py MODEL --images FOLDER [--seconds 60] [--load 60] [--workers 1] [--batch 32]

Two servers that differ only in ``--batch`` run side by side and are measured in turns of three seconds, so that other
load on the machine slows both equally. The CPU time per response depends less on other load than the responses per
second. ``model_alone`` is the model without a server: shared batches cannot gain more than the model gains from
batches. ``load`` is the server with shared batches under steady load. ``health`` is the time of GET /health while 30
explanations are requested at once. Clients and servers share the CPU.
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
import psutil

from auxface.data.media import file_kind

CLIENTS = 64
TURN = 3.0


async def client(port, images, number, end, times, statuses):
    turn = number
    while time.perf_counter() < end:
        data = images[turn % len(images)]
        turn += 1
        start = time.perf_counter()
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
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


class Server:
    """A server process, and the times and statuses of its responses."""

    def __init__(self, model, workers, batch, clients):
        command = [sys.executable, "-m", "auxface", "serve", model, "--port", "0", "--workers", str(workers)]
        command += ["--queue", str(clients)] + (["--batch", str(batch)] if batch else [])
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.port = int(self.process.stdout.readline().rsplit(":", 1)[1])
        self.clear()

    def clear(self):
        self.times, self.statuses, self.wall, self.cpu = [], Counter(), 0.0, 0.0

    def warm(self, images):
        for _ in range(100):
            self.measure(images, 0.3, 2)
            if self.statuses[200]:
                return self.clear()
        raise SystemExit(f"the server does not respond: {dict(self.statuses)}")

    def measure(self, images, seconds, clients):
        start, cpu = time.perf_counter(), self.cpu_seconds()

        async def run_clients():
            end = start + seconds
            records = (self.times, self.statuses)
            await asyncio.gather(*(client(self.port, images, n, end, *records) for n in range(clients)))

        asyncio.run(run_clients())
        self.wall += time.perf_counter() - start
        self.cpu += self.cpu_seconds() - cpu

    def cpu_seconds(self):
        root = psutil.Process(self.process.pid)
        return sum(sum(one.cpu_times()[:2]) for one in [root, *root.children(recursive=True)])

    def summary(self):
        return {
            "responses_per_second": round(len(self.times) / self.wall, 1),
            "cpu_ms_per_response": round(1000 * self.cpu / max(1, len(self.times)), 2),
            "p50_ms": round(1000 * float(np.percentile(self.times, 50))),
            "p99_ms": round(1000 * float(np.percentile(self.times, 99))),
            "statuses": {str(key): value for key, value in self.statuses.items()},
        }

    def stop(self):
        self.process.terminate()
        self.process.wait()


async def health_under_explanations(port, image, explanations=30):
    """Return the times of /health while explanations are requested at once, and the statuses of the explanations."""
    times, statuses = [], Counter()

    async def ask(head, body=b""):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        length = f"Content-Length: {len(body)}"
        writer.write(f"{head} HTTP/1.1\r\nHost: localhost\r\n{length}\r\nConnection: close\r\n\r\n".encode() + body)
        await writer.drain()
        reply = await reader.read()
        writer.close()
        return int(reply.split(b" ", 2)[1])

    async def explain():
        statuses[await ask("POST /explain", image)] += 1

    waiting = asyncio.gather(*(explain() for _ in range(explanations)))
    while not waiting.done():
        start = time.perf_counter()
        await ask("GET /health")
        times.append(1000 * (time.perf_counter() - start))
        await asyncio.sleep(0.02)
    p50, p99 = (round(float(np.percentile(times, rank)), 1) for rank in (50, 99))
    return {
        "explanations": explanations,
        "statuses": {str(key): value for key, value in statuses.items()},
        "requests": len(times),
        "p50_ms": p50,
        "p99_ms": p99,
        "longest_ms": round(max(times), 1),
    }


def model_alone(model, batch, seconds=6.0):
    """Return the CPU time per image of the model alone, in batches and one at a time, and their ratio."""
    from auxface.inference.predictor import Predictor

    scorer = Predictor.from_pretrained(model, faces="whole", warn=lambda sentence: None).scorer
    size = scorer.config.recipe.encoder.image_size
    images = np.random.default_rng(0).integers(0, 256, (batch or scorer.batch_size, 3, size, size), np.uint8)
    spent, end = {1: [], len(images): []}, time.perf_counter() + seconds
    while time.perf_counter() < end or not spent[len(images)]:
        for batch_size, times in spent.items():
            start = time.process_time()
            scorer.score_images(images, batch_size=batch_size)
            times.append((time.process_time() - start) / len(images))
    single, several = (1000 * float(np.median(times)) for times in spent.values())
    return {
        "batch": len(images),
        "cpu_ms_single": round(single, 2),
        "cpu_ms_batched": round(several, 2),
        "ratio": round(single / several, 2),
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=60, help="for the comparison, both servers together")
    parser.add_argument("--load", type=float, default=60, help="seconds of steady load")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--clients", type=int, default=CLIENTS)
    parser.add_argument("--batch", type=int, default=0, help="of the server with shared batches; 0: its default")
    arguments = parser.parse_args()
    paths = [path for path in sorted(arguments.images.rglob("*.*")) if file_kind(path) == "image"]
    images = [path.read_bytes() for path in paths[:200]]
    alone = model_alone(arguments.model, arguments.batch)
    servers = [Server(arguments.model, arguments.workers, batch, arguments.clients) for batch in (arguments.batch, 1)]
    report = {"clients": arguments.clients, "workers": arguments.workers, "model_alone": alone}
    try:
        for server in servers:
            server.warm(images)
        report["health"] = asyncio.run(health_under_explanations(servers[0].port, images[0]))
        for _ in range(round(arguments.seconds / (2 * TURN))):
            for server in servers:
                server.measure(images, TURN, arguments.clients)
        if arguments.seconds >= 2 * TURN:
            several, single = (server.summary() for server in servers)
            report |= {"batched": several, "single": single}
            for name, better in (("responses_per_second", 1), ("cpu_ms_per_response", -1)):
                report[f"ratio of {name}"] = round((several[name] / single[name]) ** better, 2)
        if arguments.load:
            servers[0].clear()
            servers[0].measure(images, arguments.load, arguments.clients)
            report["load"] = {"seconds": arguments.load} | servers[0].summary()
    finally:
        for server in servers:
            server.stop()
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
