"""A small training run for tests of killed and distributed runs: ``python small_run.py FOLDER [key=value ...]``.

Further runs of the same processes follow after ``then``: ``python small_run.py FOLDER ... then FOLDER ...``.

``kill_at=K`` kills the process with SIGKILL when it loads its K-th batch, unless a checkpoint was there at the start;
``kill_rank=R`` names the process of several that dies. ``teacher=1`` adds an auxiliary with an EMA teacher. The model's
class is printed at the end or before the kill.
"""

import os
import signal
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from toy_teacher import TOY_TEACHER

from auxface.model import JointModel
from auxface.objectives import LearnedTask
from auxface.objectives.registry import register
from auxface.recipe import Encoder, Recipe, ReconstructionOptions, Train
from auxface.training.data_loader import DataLoader
from auxface.training.loop import run_training
from auxface.training.sampling import LabeledMixture, make_group_dro
from auxface.training.selection import Validation


class Killing(DataLoader):
    loaded = 0
    kill_at = 0
    model = None

    def batch(self, indices, epoch, device):
        Killing.loaded += 1
        if Killing.loaded == Killing.kill_at:
            print(type(Killing.model).__name__, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        return super().batch(indices, epoch, device)


def faces(count, seed):
    generator = np.random.default_rng(seed)
    labels = torch.from_numpy(generator.integers(-1, 2, count))
    return generator.integers(0, 256, (count, 3, 32, 32)).astype(np.uint8), {"shade": labels}


def main():
    torch.set_num_threads(1)
    register(TOY_TEACHER)
    arguments = sys.argv[1:]
    while "then" in arguments:
        at = arguments.index("then")
        run(*arguments[:at])
        arguments = arguments[at + 1 :]
    run(*arguments)


def run(folder, *arguments):
    folder = Path(folder)
    given = dict(argument.split("=") for argument in arguments)
    kill_at, rank = int(given.pop("kill_at", 0)), given.pop("kill_rank", "0")
    drop_path = float(given.pop("drop_path", 0))
    folder.mkdir(exist_ok=True)
    if os.environ.get("RANK", "0") == rank and not any(folder.glob("checkpoint/*/state.json")):
        Killing.kill_at = kill_at
    auxiliaries = {"toy_teacher": {}} if given.pop("teacher", "") else {}
    balance = given.pop("balance", 0.3)
    group = "race" if "group_dro" in given else None
    options = {
        "group": group,
        "epochs": 3,
        "batch_size": 12,
        "base_learning_rate": 0.02,
        "precision": "fp32",
        "ema": 0.9,
    }
    recipe = Recipe(
        balance=balance,
        auxiliaries=auxiliaries,
        auxiliary=ReconstructionOptions(decoder_width=32, decoder_depth=1, decoder_heads=4),
        encoder=Encoder(image_size=32, patch_size=8, width=32, depth=2, heads=4, drop_path=drop_path),
        train=Train(**options | {name: float(value) if "." in value else int(value) for name, value in given.items()}),
    )
    model = JointModel(recipe, [LearnedTask("shade", "class", ("dark", "light"))])
    Killing.model = model
    images, labels = faces(43, 0)
    shares, ratio = None, recipe.train.labeled_per_batch
    if recipe.train.group_dro is not None:
        shares = make_group_dro(pd.Series(list("aabac") * 9)[:43], "race", recipe.train.group_dro)
    loader = Killing(
        images=images,
        labels=labels,
        seed=0,
        batch_size=recipe.train.images_per_step,
        augment="light",
        size=32,
        group_dro=shares,
        mixture=None if ratio is None else LabeledMixture(labels["shade"] >= 0, ratio),
    )
    run_training(model, loader, Validation(*faces(25, 1)), folder=folder, device="cpu")
    print(type(model).__name__)


if __name__ == "__main__":
    main()
