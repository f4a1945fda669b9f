"""Compare the measured choices of ``auto`` with every fixed one: precision, attention kernel, memory format, threads.

    python benchmarks/auto.py                       # three models of different kinds
    python benchmarks/auto.py --model resnet --rounds 5 --json auto.json

The trial runs as in training, with an empty cache. Every fixed choice is then timed on whole batches, in turn, so that
a change of load falls on all of them. Kernels are compared at the number of threads that the trial chose: in processor
time for one thread, otherwise in wall time. Threads are compared in wall time, with the kernels that the trial chose.
The mark: ``auto`` is at most 5% slower than the best fixed choice.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from auxface.model import JointModel
from auxface.objectives import LearnedTask
from auxface.provenance import machine_kind
from auxface.recipe import load_recipe
from auxface.training.data_loader import DataLoader
from auxface.training.measured_choices import Kernels, Trial, choose_speed, open_kernels

MODELS = {
    "vit": ("encoder.image_size=64", "encoder.width=96", "encoder.depth=4", "encoder.heads=3"),
    "resnet": ("encoder.name=test_resnet", "encoder.image_size=64", "encoder.output_stride=16"),
    "efficientnet": ("encoder.name=efficientnet_lite0", "encoder.image_size=96", "train.batch_size=32"),
}
MARK = 1.05


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=[*MODELS, "all"], default="all")
    parser.add_argument("--recipe", default="l_ssat")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path, help="also write the result to this file")
    arguments = parser.parse_args()
    os.environ["AUXFACE_CACHE"] = tempfile.mkdtemp()
    names = [*MODELS] if arguments.model == "all" else [arguments.model]
    result = {name: compare(arguments.recipe, MODELS[name], arguments.device, arguments.rounds) for name in names}
    for name, found in result.items():
        print(f"{name}: auto is {found['auto']}, chosen in {found['trial_seconds']} s")
        for kind in ("kernels", "threads"):
            rows = ", ".join(f"{choice} {speed:.1f}" for choice, speed in found[kind].items())
            print(f"  {kind}, images/s: {rows}")
            print(f"  auto's time over that of the best: {found[f'{kind}_ratio']:.3f} (mark {MARK})")
    report = {"machine": machine_kind(), "torch": torch.__version__, "models": result}
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1) + "\n")


def compare(recipe: str, settings: tuple[str, ...], device: str, rounds: int) -> dict:
    """Return what ``auto`` chose, the images per second of every fixed choice, and both ratios."""
    model, loader = build(recipe, settings)
    began = time.perf_counter()
    options, _ = choose_speed(model, loader, device)
    trial_seconds = time.perf_counter() - began
    chosen = Kernels(options.precision, options.attention, bool(options.channels_last))
    trial = Trial(model, loader, device)
    trial.use(loader.batch_size)
    most = torch.get_num_threads()
    torch.set_num_threads(most if options.threads == "auto" else options.threads)
    kernels = median_times(trial.step, open_kernels(model, device), rounds)

    def with_threads(count: int) -> float:
        torch.set_num_threads(count)
        return trial.step(chosen, in_wall_time=True)

    counts = sorted({1, most}) if device == "cpu" else [options.threads]
    threads = median_times(with_threads, counts, rounds) if len(counts) > 1 else {}
    torch.set_num_threads(most)
    return {
        "auto": f"{chosen}, threads {options.threads}",
        "trial_seconds": round(trial_seconds, 2),
        "batch_size": trial.images,
        "kernels": {str(each): 1 / seconds for each, seconds in kernels.items()},
        "kernels_ratio": kernels[chosen] / min(kernels.values()),
        "threads": {str(count): 1 / seconds for count, seconds in threads.items()},
        "threads_ratio": threads[options.threads] / min(threads.values()) if threads else 1.0,
    }


def build(recipe: str, settings: tuple[str, ...]) -> tuple[JointModel, DataLoader]:
    """Return a model and a loader of random images, of a run of many steps."""
    resolved = load_recipe(recipe, settings)
    model = JointModel(resolved, [LearnedTask("attribute", "class", ("absent", "present"))])
    size, count = resolved.encoder.image_size, 20_000
    images = np.random.default_rng(0).integers(0, 256, (256, 3, size, size), dtype=np.uint8)
    loader = DataLoader(
        images=np.resize(images, (count, 3, size, size)),
        labels={"attribute": torch.arange(count) % 2},
        seed=0,
        batch_size=resolved.train.images_per_step,
        augment=resolved.train.augment,
        size=size,
        views=model.views,
    )
    return model, loader


def median_times(timed: Callable, choices: list, rounds: int) -> dict:
    """Return the median seconds per image of each choice over rounds in which all take turns; one more warms up."""
    times: dict = {each: [] for each in choices}
    for _ in range(rounds + 1):
        for each in choices:
            times[each].append(timed(each))
    return {each: statistics.median(seconds[1:]) for each, seconds in times.items()}


if __name__ == "__main__":
    main()
