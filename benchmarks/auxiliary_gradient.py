"""How strongly the auxiliaries of a study act on the encoder, beside the task, before anything is learned.

python benchmarks/auxiliary_gradient.py STUDY.yaml --data-root FOLDER [--batches 8]

Prints, for every data set and method with an auxiliary, the norm of the auxiliaries' gradient on the encoder over that
of the task's, each with its weight in the loss: the mean over the study's seeds and BATCHES batches of initial weights,
with the least and the largest. 1 is as strong as the task.
"""

import json
from pathlib import Path
from statistics import mean
from typing import Annotated

import torch
import typer
from torch import Tensor, nn

from auxface.data.manifest import read_manifest
from auxface.model.balance import auxiliary_weight_at, primary_weight_at
from auxface.objectives import StepContext, TrainProgress
from auxface.provenance import provenance
from auxface.studies.definition import read_study
from auxface.studies.grid import plan_runs
from auxface.training.assembly import Assembly, assemble

CPU = torch.device("cpu")


def main(study: Path, data_root: Annotated[Path, typer.Option()], batches: int = 8):
    """Measure the runs of STUDY whose manifests are in DATA_ROOT."""
    found: dict[str, list[float]] = {}
    for run in plan_runs(read_study(study), study.parent):
        if run.recipe.all_auxiliaries:
            parts = assemble(run.recipe, read_manifest(data_root / run.data.manifest), "cpu")
            steps = list(parts.loader.indices(0))[:batches]
            ratios = [ratio(parts, indices) for indices in steps]
            found.setdefault(f"{run.data.name}, {run.method}", []).extend(ratios)
    shown = {
        name: {"mean": round(mean(values), 3), "least": round(min(values), 3), "most": round(max(values), 3)}
        for name, values in found.items()
    }
    print(json.dumps({"ratio": shown, **provenance(batches=batches)}, indent=1))


def ratio(parts: Assembly, indices: Tensor) -> float:
    """The ratio of gradient norms on one batch: the task's gradient is the whole one less the auxiliaries'."""
    model, start = parts.model.train(), TrainProgress()
    encoder = [parameter for parameter in model.encoder.parameters() if parameter.requires_grad]
    weight = 1 - primary_weight_at(parts.recipe, start)
    losses = [
        weight
        * auxiliary_weight_at(parts.recipe.all_auxiliaries[name], start)
        * auxiliary(model.encoder, batch, StepContext(model.encoder, batch.primary, start))[0]
        for batch in [parts.loader.batch(indices, 0, CPU)]
        for name, auxiliary in model.auxiliaries.items()
    ]
    auxiliaries = _gradient(torch.stack(losses).sum(), encoder)
    task = _gradient(model(parts.loader.batch(indices, 0, CPU), start)[0], encoder) - auxiliaries
    return float(auxiliaries.norm() / task.norm())


def _gradient(loss: Tensor, parameters: list[nn.Parameter]) -> Tensor:
    found = torch.autograd.grad(loss, parameters, allow_unused=True)
    return torch.cat([torch.zeros_like(p).flatten() if g is None else g.flatten() for p, g in zip(parameters, found)])


if __name__ == "__main__":
    typer.run(main)
