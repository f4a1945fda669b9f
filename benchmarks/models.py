"""Measure the models that plans make: several packs, starts and seeds, against simple baselines.

    python benchmarks/models.py runs/models UTKFace=utkface.parquet CelebA=celeba.parquet --budget 30m --seeds 0 1 2
    python benchmarks/models.py runs/models UTKFace=utkface.parquet CelebA=celeba.parquet --budget 30m --test

Each pack is planned once per start: the best start at hand, and from scratch. All settings are the plan's. The
first command trains and prints figures of the validation split. It can be interrupted at any time: complete runs are
kept, and an interrupted run is resumed. With ``--test`` the test split is scored, once: ``test.md`` of a pack is not
written again. Its table holds, per task and model, balanced accuracy (or the metric of the task) with its 95%
interval, the widest gap between the levels of a group, and the same metric under corruption at severity 3.

The baselines choose their regularization, and the threshold of a binary label, on the rows that are scored, which
favors them. A run that took more than 1.1 times its budget is marked.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import auxface
from auxface.data.manifest import read_manifest
from auxface.evaluation import TaskAudit
from auxface.model.directory import read_config
from auxface.progress import parse_budget
from auxface.recipe.load import load_recipe
from auxface.training.baselines import NAMES, measure_baselines
from auxface.training.plan_inputs import SCRATCH_START
from auxface.training.train import resume

STARTS = {"plan": None, "scratch": SCRATCH_START}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("packs", nargs="+", help="NAME=MANIFEST")
    parser.add_argument("--budget", default="30m")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--starts", nargs="+", choices=STARTS, default=list(STARTS))
    parser.add_argument("--device", default="auto")
    parser.add_argument("--test", action="store_true", help="score the test split of every pack, once")
    given = parser.parse_args()
    packs = {name: Path(data) for name, _, data in (pack.partition("=") for pack in given.packs)}
    for name, data in packs.items():
        models = {
            f"{start}, seed {seed}": train_one(given.out / name, data, start, seed, given.budget, given.device)
            for start in given.starts
            for seed in given.seeds
        }
        print_validation(name, models, parse_budget(given.budget))
        if given.test:
            score_test(name, given.out / name, data, models, given.device)


def train_one(folder: Path, data: Path, start: str, seed: int, budget: str, device: str) -> Path:
    """Return the model of a pack, start and seed; plan, train or resume it if it is not complete."""
    recipe, model = folder / f"{start}.yaml", folder / f"{start}-{seed}"
    if not recipe.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        auxface.plan(data, recipe, budget=budget, device=device, start=STARTS[start])
    if (model / "config.json").is_file():
        return model
    if (model / "run.json").is_file():
        resume(model, device=device)
    else:
        auxface.train(recipe, data, model, seed=seed, device=device)
    return model


def print_validation(pack: str, models: dict[str, Path], budget: float) -> None:
    print(f"\n{pack}, validation split\n\n| model | task | balanced accuracy | baselines | minutes |")
    print("|---|---|---|---|---|")
    for name, folder in models.items():
        facts = read_config(folder).provenance
        seconds = facts["training_seconds"] + json.loads((folder / "plan.json").read_text())["planning_seconds"]
        mark = " (over the budget)" if seconds > 1.1 * budget else ""
        for task, each in facts["validation"].items():
            beside = ", ".join(f"{NAMES[key]} {value:.3f}" for key, value in each["baselines"].items())
            value = each["balanced_accuracy"]
            print(f"| {name} | {task} | {value:.3f} (n {each['n']}) | {beside} | {seconds / 60:.1f}{mark} |")


def score_test(pack: str, folder: Path, data: Path, models: dict[str, Path], device: str) -> None:
    table = folder / "test.md"
    if not table.is_file():
        audit = auxface.evaluate(models, data, folder / "test", device=device, overwrite=True)
        lines = [f"{pack}, test split", "", "| task | model | metric | widest gap | corrupted |"]
        lines += ["|---|---|---|---|---|"]
        for name, model in audit.models.items():
            lines += [f"| {task} | {name} | {' | '.join(cells(found))} |" for task, found in model.tasks.items()]
        manifest = read_manifest(data)
        # measure_baselines scores the split val.
        scored = manifest.table[manifest.table["split"] != "val"]
        scored = replace(manifest, table=scored.assign(split=scored["split"].replace("test", "val")))
        for task, found in measure_baselines(scored, load_recipe(folder / "plan.yaml")).items():
            for key, value in found.items():
                lines += [f"| {task} | {NAMES[key]} | balanced accuracy {value:.3f} | - | - |"]
        table.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"\n{table.read_text(encoding='utf-8')}")


def cells(found: TaskAudit) -> tuple[str, str, str]:
    """Return metric with interval, widest gap, and the metric under each corruption at severity 3."""
    metric = found.decision_metric
    own = found.overall[metric]
    shown = "not measurable" if own.value is None else f"{metric.replace('_', ' ')} {own.value:.3f}"
    if own.low is not None and own.high is not None:
        shown += f" ({own.low:.3f} to {own.high:.3f}, n {own.n})"
    gaps = [
        (gap.value, group)
        for group, each in found.gaps.items()
        if (gap := each.get(f"{metric}_difference")) is not None and gap.value is not None
    ]
    corrupted = [
        f"{name.replace('_', ' ')} {value:.3f}"
        for name, steps in found.robustness.items()
        if 3 in steps and (value := steps[3][metric].value) is not None
    ]
    widest = f"{max(gaps)[0]:.3f} ({max(gaps)[1]})" if gaps else "-"
    return shown, widest, ", ".join(corrupted) or "-"


if __name__ == "__main__":
    main()
