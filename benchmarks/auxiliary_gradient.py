"""Measure the gradient of a study's auxiliaries on the encoder, relative to the supervised task's, before training.

python benchmarks/auxiliary_gradient.py STUDY.yaml --data-root FOLDER [--batches 8]

For every data set and method with an auxiliary, prints the ratio of two norms: the gradient of the weighted auxiliary
losses on the encoder, and the gradient of the weighted task loss. The mean, minimum and maximum are over the study's
seeds and BATCHES batches each, at the initial weights. A ratio of 1 means gradients of equal size.
"""

import json
from pathlib import Path
from statistics import mean
from typing import Annotated

import torch
import typer
from torch import Tensor, nn

from auxface.data.manifest import read_manifest
from auxface.model.balance import ObjectiveSchedule, auxiliary_weight_at
from auxface.objectives import StepContext, TrainProgress
from auxface.provenance import provenance
from auxface.studies.definition import read_study
from auxface.studies.grid import plan_runs
from auxface.training.assembly import Assembly, assemble

CPU = torch.device("cpu")


def main(study: Path, data_root: Annotated[Path, typer.Option()], batches: int = 8):
    """Measure the runs of STUDY whose manifests are in DATA_ROOT."""
    ratios: dict[str, list[float]] = {}
    for run in plan_runs(read_study(study), study.parent):
        if run.recipe.all_auxiliaries:
            assembly = assemble(run.recipe, read_manifest(data_root / run.data.manifest), "cpu")
            steps = list(assembly.loader.draws(0))[:batches]
            found = [gradient_ratio(assembly, indices) for indices in steps]
            ratios.setdefault(f"{run.data.name}, {run.method}", []).extend(found)
    summary = {
        name: {"mean": round(mean(values), 3), "min": round(min(values), 3), "max": round(max(values), 3)}
        for name, values in ratios.items()
    }
    print(json.dumps({"ratio": summary, **provenance(batches=batches)}, indent=1))


def gradient_ratio(assembly: Assembly, indices: Tensor) -> float:
    """Return the ratio of gradient norms on one batch; the task's gradient is the total minus the auxiliaries'."""
    model, start = assembly.model.train(), TrainProgress()
    encoder = [parameter for parameter in model.encoder.parameters() if parameter.requires_grad]
    weight = 1 - ObjectiveSchedule(assembly.recipe).primary_weight(start)
    losses = [
        weight
        * auxiliary_weight_at(assembly.recipe.all_auxiliaries[name], start)
        * auxiliary(model.encoder, batch, StepContext(model.encoder, batch.primary, start))[0]
        for batch in [assembly.loader.batch(indices, 0, CPU)]
        for name, auxiliary in model.auxiliaries.items()
    ]
    auxiliaries = _gradient(torch.stack(losses).sum(), encoder)
    task = _gradient(model(assembly.loader.batch(indices, 0, CPU), start)[0], encoder) - auxiliaries
    return float(auxiliaries.norm() / task.norm())


def _gradient(loss: Tensor, parameters: list[nn.Parameter]) -> Tensor:
    found = torch.autograd.grad(loss, parameters, allow_unused=True)
    return torch.cat([torch.zeros_like(p).flatten() if g is None else g.flatten() for p, g in zip(parameters, found)])


if __name__ == "__main__":
    typer.run(main)
