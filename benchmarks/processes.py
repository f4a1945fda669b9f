"""Two processes on two cores against one process on one core: ``python benchmarks/processes.py [--setting tiny16]``.

The joint step (L-SSAT) of ``step.py``. Each process has its own core, thread and batch, and gradients are exchanged
as in training; with ``--fsdp`` weights are sharded. Three variants alternate: one process alone, while the other is
idle; two independent processes, which is the limit of the machine; two processes that exchange gradients, as under
``torchrun``. Each round gives the images per second divided by those of one process alone. The round with the highest
ratio is the one least disturbed by other programs.
"""

import argparse
import os
import socket
import statistics
import time
from collections.abc import Callable

import torch
import torch.distributed as distributed
import torch.multiprocessing as multiprocessing
from step import LDP, SETTINGS, Setting, joint_step, our_model

from auxface.training.distributed import make_accelerator, prepare
from auxface.training.fsdp import shard_model, uses_fsdp
from auxface.training.optimizer import make_optimizer
from auxface.training.train_step import set_learning_rate


def one_of_two(rank: int, setting: Setting, bf16: bool, rounds: int, steps: int, port: int) -> None:
    """Run the benchmark in one of the two processes; the first one prints."""
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[rank]})
    torch.set_num_threads(1)
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": "2",
        "LOCAL_WORLD_SIZE": "2",
        "MASTER_ADDR": "localhost",
        "MASTER_PORT": str(port),
    }
    alone, together = (make_step(setting, bf16, exchange) for exchange in (False, True))
    for step in (alone, together):
        step()
    found: dict[str, list[float]] = {"independent": [], "exchanging gradients": []}
    milliseconds: list[float] = []
    for _ in range(rounds):
        single = timed(alone, steps if rank == 0 else 0)
        milliseconds.append(1000 * single / steps)
        for name, step in (("independent", alone), ("exchanging gradients", together)):
            found[name].append(2 * single / timed(step, steps))
    if rank == 0:
        print(f"one process: {min(milliseconds):.0f} ms per step of {setting.batch} images")
        print("| two processes | highest ratio | median | all rounds |\n|---|---|---|---|")
        for name, ratios in found.items():
            rest = " ".join(f"{ratio:.2f}" for ratio in ratios)
            print(f"| {name} | {max(ratios):.2f} | {statistics.median(ratios):.2f} | {rest} |")
    distributed.destroy_process_group()


def make_step(setting: Setting, bf16: bool, exchange: bool) -> Callable[[], None]:
    """Return a joint step on images in memory, which exchanges gradients if ``exchange``."""
    model = our_model(setting, bf16, 0.1, LDP, precision="bf16" if bf16 else "fp32")
    accelerator = make_accelerator(model.recipe, "cpu")
    if exchange and uses_fsdp(accelerator):
        shard_model(model, accelerator)
    optimizer = make_optimizer(model, model.recipe.train)
    set_learning_rate(optimizer, 1e-4)
    return joint_step(prepare(accelerator, model, optimizer)[0] if exchange else model, optimizer, setting, bf16)


def timed(step: Callable[[], None], steps: int) -> float:
    """Return the wall time in seconds from the start of both processes to the end of both."""
    distributed.barrier()
    start = time.perf_counter()
    for _ in range(steps):
        step()
    distributed.barrier()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--setting", choices=SETTINGS, default="tiny16")
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--fsdp", action="store_true")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--steps", type=int, default=3)
    options = parser.parse_args()
    setting = SETTINGS[options.setting]
    if options.fsdp:
        os.environ |= {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2"}
    sizes = f"patch {setting.patch}, side {setting.side}, {setting.batch} images per process"
    print(f"{setting.name}, {sizes}, {'bf16' if options.bf16 else 'fp32'}, load {os.getloadavg()[0]:.1f}")
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    arguments = (setting, options.bf16, options.rounds, options.steps, port)
    multiprocessing.spawn(one_of_two, arguments, nprocs=2)


if __name__ == "__main__":
    main()
