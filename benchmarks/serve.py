"""Requests that a server answers: 64 clients at once, faces of different requests scored together or one at a time.

    python benchmarks/serve.py MODEL --images FOLDER [--seconds 60] [--load 60] [--workers 1] [--batch 32]

Two servers that differ in ``--batch`` alone run side by side and are asked in turns of three seconds, so that a busy
machine slows them alike. Beside the answers per second stands the processor time of an answer, which a busy machine
changes little. ``bare`` is the model alone, without a server: batching across requests cannot gain more than the model
gains from batches. ``load`` is the batched server under a steady load; refusals (429, 503) are counted apart from
failures, of which there must be none. Clients and servers share the processor.
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
    """A server process, and what was seen of its answers."""

    def __init__(self, model, workers, batch, clients):
        command = [sys.executable, "-m", "auxface", "serve", model, "--port", "0", "--workers", str(workers)]
        command += ["--queue", str(clients)] + (["--batch", str(batch)] if batch else [])
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.port = int(self.process.stdout.readline().rsplit(":", 1)[1])
        self.clear()

    def clear(self):
        self.times, self.statuses, self.wall, self.busy = [], Counter(), 0.0, 0.0

    def warm(self, images):
        for _ in range(100):
            self.ask(images, 0.3, 2)
            if self.statuses[200]:
                return self.clear()
        raise SystemExit(f"the server does not answer: {dict(self.statuses)}")

    def ask(self, images, seconds, clients):
        start, busy = time.perf_counter(), self.processor()

        async def everyone():
            end = start + seconds
            given = (self.times, self.statuses)
            await asyncio.gather(*(client(self.port, images, n, end, *given) for n in range(clients)))

        asyncio.run(everyone())
        self.wall += time.perf_counter() - start
        self.busy += self.processor() - busy

    def processor(self):
        root = psutil.Process(self.process.pid)
        return sum(sum(one.cpu_times()[:2]) for one in [root, *root.children(recursive=True)])

    def found(self):
        return {
            "answers_per_second": round(len(self.times) / self.wall, 1),
            "processor_ms_per_answer": round(1000 * self.busy / max(1, len(self.times)), 2),
            "p50_ms": round(1000 * float(np.percentile(self.times, 50))),
            "p99_ms": round(1000 * float(np.percentile(self.times, 99))),
            "statuses": {str(key): value for key, value in self.statuses.items()},
        }

    def stop(self):
        self.process.terminate()
        self.process.wait()


def bare(model, batch, seconds=6.0):
    """Processor time of an image in the model alone, in batches against one at a time, and how many times less."""
    from auxface.inference.predictor import Predictor

    scorer = Predictor.from_pretrained(model, faces="whole", warn=lambda sentence: None).scorer
    size = scorer.config.recipe.encoder.image_size
    images = np.random.default_rng(0).integers(0, 256, (batch or scorer.batch_size, 3, size, size), np.uint8)
    spent, end = {1: [], len(images): []}, time.perf_counter() + seconds
    while time.perf_counter() < end or not spent[len(images)]:
        for step, held in spent.items():
            start = time.process_time()
            scorer.score_images(images, batch_size=step)
            held.append((time.process_time() - start) / len(images))
    single, several = (1000 * float(np.median(held)) for held in spent.values())
    return {
        "batch": len(images),
        "processor_ms_single": round(single, 2),
        "processor_ms_batched": round(several, 2),
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
    parser.add_argument("--batch", type=int, default=0, help="of the batched server; 0: its default")
    arguments = parser.parse_args()
    images = [path.read_bytes() for path in sorted(arguments.images.rglob("*.*"))[:200]]
    alone = bare(arguments.model, arguments.batch)
    servers = [Server(arguments.model, arguments.workers, batch, arguments.clients) for batch in (arguments.batch, 1)]
    report = {"clients": arguments.clients, "workers": arguments.workers, "bare": alone}
    try:
        for server in servers:
            server.warm(images)
        for _ in range(round(arguments.seconds / (2 * TURN))):
            for server in servers:
                server.ask(images, TURN, arguments.clients)
        several, single = (server.found() for server in servers)
        report |= {"batched": several, "single": single}
        for name, better in (("answers_per_second", 1), ("processor_ms_per_answer", -1)):
            report[f"ratio of {name}"] = round((several[name] / single[name]) ** better, 2)
        if arguments.load:
            servers[0].clear()
            servers[0].ask(images, arguments.load, arguments.clients)
            report["load"] = {"seconds": arguments.load} | servers[0].found()
    finally:
        for server in servers:
            server.stop()
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
