"""Measure how much the gradient accumulated over micro-batches differs from the gradient of the full batch.

python benchmarks/accumulation.py MANIFEST --task TASK [--encoder test_resnet] [--set KEY=VALUE ...] [--micro-batches 4]

Prints the norm of the difference divided by the norm of the full batch's gradient, for BATCHES batches at the initial
weights of the recipe `supervised`, in fp32. Without batch normalization the difference is rounding error.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import torch
import typer
from torch import Tensor, nn

from auxface.data.manifest import read_manifest
from auxface.provenance import provenance
from auxface.recipe import load_recipe
from auxface.training.assembly import Assembly, assemble
from auxface.training.train_step import label_counts, split_micro_batches

CPU = torch.device("cpu")


def main(
    manifest: Path,
    task: Annotated[str, typer.Option()],
    encoder: str = "test_resnet",
    settings: Annotated[list[str] | None, typer.Option("--set")] = None,
    micro_batches: int = 4,
    batches: int = 8,
):
    """Measure an encoder on the training split of MANIFEST."""
    recipe = load_recipe("supervised", [f"tasks=[{task}]", f"encoder.name={encoder}", *(settings or [])])
    assembly = assemble(recipe, read_manifest(manifest), "cpu")
    steps = list(assembly.loader.draws(0))[:batches]
    found = [round(relative_difference(assembly, step, micro_batches), 6) for step in steps]
    print(json.dumps({"difference": found, **provenance(encoder=encoder, micro_batches=micro_batches)}, indent=1))


def relative_difference(assembly: Assembly, step: Tensor, micro_batches: int) -> float:
    """Return the relative difference on one batch."""
    model, loader = assembly.model.train(), assembly.loader
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    full = _gradient(model(loader.batch(step, 0, CPU))[0], parameters)
    labels = {name: values[step] for name, values in loader.labels.items()}
    accumulated = torch.zeros_like(full)
    for part in split_micro_batches(step, ranks=1, rank=0, accumulate=micro_batches):
        counts = label_counts(assembly.tasks, labels, micro_batches)
        batch = replace(loader.batch(part.draws, 0, CPU), scale=part.scale, label_counts=counts)
        accumulated += _gradient(model(batch)[0] / micro_batches, parameters)
    return float((accumulated - full).norm() / full.norm())


def _gradient(loss: Tensor, parameters: list[nn.Parameter]) -> Tensor:
    found = torch.autograd.grad(loss, parameters, allow_unused=True)
    return torch.cat([torch.zeros_like(p).flatten() if g is None else g.flatten() for p, g in zip(parameters, found)])


if __name__ == "__main__":
    typer.run(main)
