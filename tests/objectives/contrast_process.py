"""One of several processes that share steps of a contrastive or proxy loss: ``contrast_process.py FOLDER RANK RANKS``.

The first process writes the loss of each step and the gradient of every weight to ``FOLDER/LOSS.safetensors``.
"""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.distributed as dist
from safetensors.torch import save_file
from torch.nn.parallel import DistributedDataParallel

from auxface.data.manifest import Label, Manifest
from auxface.model import JointModel
from auxface.objectives import LearnedTask, TrainingSet, TrainProgress
from auxface.objectives.contrast.cluster_contrast import LOSSES as CLUSTER_LOSSES
from auxface.recipe import Encoder, Recipe
from auxface.training.data_loader import DataLoader
from auxface.training.train_step import label_counts, split_micro_batches

IMAGES = 9
LOSSES = (*CLUSTER_LOSSES, "nt_xent", "lafs", "cosface", "proxy_anchor")
STEPS = (torch.arange(9), torch.tensor([4]))  # nine for two processes are five and four; one is one and none


def built(loss):
    clusters = {"cluster_contrast": {"clusters": "labels", "loss": loss, "projector_width": 16}}
    others = {"lafs": {"lafs": {"prototypes": 32, "head_width": 16, "bottleneck_width": 8, "local_views": 1}}}
    metric = loss in ("cosface", "proxy_anchor")
    recipe = Recipe(
        primary_weight=0.3,
        primary={"kind": "metric_learning", "loss": loss} if metric else {},
        auxiliaries=clusters if loss in CLUSTER_LOSSES else others.get(loss, {"nt_xent": {"projector_width": 16}}),
        encoder=Encoder(image_size=32, patch_size=8, width=32, depth=1, heads=4),
    )
    shades = ["dark", "light"] * 4 + ["dark"]
    table = pd.DataFrame({"shade": shades, "kind": list("aabbccaab")})
    labels = {"shade": Label("class", ("dark", "light")), "kind": Label("class", ("a", "b", "c"))}
    model = JointModel(recipe, [LearnedTask("shade", "class", ("dark", "light"))])
    model.before_training(TrainingSet(Manifest(table, labels), lambda: torch.empty(0)))
    images = np.random.default_rng(0).integers(0, 256, (IMAGES, 3, 32, 32)).astype(np.uint8)
    numbers = torch.tensor([shade == "light" for shade in shades]).long()
    return model, DataLoader(
        images=images, labels={"shade": numbers}, seed=0, batch_size=IMAGES, augment="light", size=32, views=model.views
    )


def take_steps(loss, rank, ranks):
    """Loss and gradients of each step, by name."""
    model, loader = built(loss)
    wrapped = DistributedDataParallel(model, find_unused_parameters=True) if ranks > 1 else model
    found = {}
    for number, indices in enumerate(STEPS):
        model.zero_grad()
        (part,) = split_micro_batches(indices, ranks=ranks, rank=rank, accumulate=1)
        labels = {"shade": loader.labels["shade"][indices]}
        counts = label_counts(model.tasks, labels, ranks)
        batch = replace(loader.batch(part.draws, 0, torch.device("cpu")), scale=part.scale, label_counts=counts)
        if not part.scale:
            batch = replace(batch, weights=torch.zeros(len(part.draws)))
        total = wrapped(batch, TrainProgress()).loss
        total.backward()
        value = total.detach()
        if ranks > 1:
            dist.all_reduce(value)
        found[f"{number} loss"] = value / ranks
        found |= {f"{number} {name}": p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    return found


def main():
    folder, rank, ranks = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=ranks)
    for loss in LOSSES:
        found = take_steps(loss, rank, ranks)
        if rank == 0:
            save_file(found, folder / f"{loss}.safetensors")
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
