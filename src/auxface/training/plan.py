"""Plan a training run from the data: choose the encoder, initial weights, image size, schedule and auxiliary.

Planning reads counts, classes and image sizes, times one step of each candidate on this machine, and fits the number of
epochs to a time budget. The resulting recipe is plain YAML that can be edited; a comment states the reason for every
choice. The rules are our own; docs/plan.md lists them.

Example::

    made = plan("faces.parquet", "recipe.yaml", budget="30m")
    print(made.recipe.encoder.name, made.estimated_seconds)
    train("recipe.yaml", "faces.parquet", "runs/a")
"""

import json
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from auxface.atomic import atomic_file, refuse_existing
from auxface.data.manifest import read_manifest
from auxface.device import check_device, resolve_device
from auxface.progress import parse_budget
from auxface.provenance import machine_kind
from auxface.recipe import Recipe
from auxface.recipe.load import load_recipe
from auxface.training.plan_choices import Choice, Planner, Timing
from auxface.training.plan_inputs import DataFacts, Start, available_starts, data_facts
from auxface.training.unlabeled import add_unlabeled, read_unlabeled

AUTO = "auto"
"""Recipe name that requests a plan when training starts."""
PLAN_SUFFIX = ".plan.json"
"""A plan is written next to its recipe: ``recipe.plan.json`` for ``recipe.yaml``."""


@dataclass(frozen=True)
class Plan:
    """A planned training run.

    Attributes:
        recipe: the recipe.
        text: the recipe as commented YAML.
        choices: chosen recipe keys, each with its reason.
        timings: candidates that were timed.
        facts: facts about the manifest.
        baselines: balanced accuracy of simple baselines on the validation split, by task.
        start: chosen initial weights, with the reason.
        budget_seconds: time budget in seconds.
        estimated_seconds: estimated time of planning, reading, training and validation.
        planning_seconds: time spent on planning.
        manifest_hash: hash of the manifest; a later run uses the plan only if the hash is the same.
        machine: kind of machine on which the plan was made.
    """

    recipe: Recipe
    text: str
    choices: tuple[Choice, ...]
    timings: tuple[Timing, ...]
    facts: DataFacts
    baselines: Mapping[str, Mapping[str, float]]
    start: Start
    budget_seconds: float
    estimated_seconds: float
    planning_seconds: float
    manifest_hash: str
    machine: str

    def recipe_with(self, overrides: Iterable[str]) -> Recipe:
        """Return the recipe after applying overrides such as ``train.epochs=3``.

        Raises:
            InputError: an override is not valid.
        """
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "plan.yaml"
            path.write_text(self.text, encoding="utf-8")
            return load_recipe(path, overrides)

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as plain JSON, without the recipe."""
        made = asdict(replace(self, recipe=None, text=""))  # pyright: ignore[reportArgumentType]
        del made["recipe"], made["text"]
        return made


def plan(
    data: str | Path,
    out: str | Path | None = None,
    *,
    budget: str = "30m",
    device: str = "auto",
    start: str | Path | None = None,
    unlabeled: Sequence[str | Path] = (),
    baselines: bool = True,
    overwrite: bool = False,
) -> Plan:
    """Plan a training run for a manifest and a time budget, and write it as a recipe.

    The test split is not read.

    Args:
        data: manifest of images (``.parquet`` or ``.csv``), or a folder of shards.
        out: recipe file to write; the plan is written next to it as a JSON file. None to write nothing.
        budget: total time for planning, reading, training and validation on this machine, such as ``30m`` or ``1h30m``.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        start: source of the initial weights: a safetensors file of a pinned timm encoder, an auxface model directory,
            or ``scratch`` for random weights. None for the best available initial weights.
        unlabeled: manifests whose training images are used without labels; also pass them to ``train``.
        baselines: whether to evaluate the simple baselines, which takes about a minute.
        overwrite: whether to replace ``out`` if it exists.

    Returns:
        The plan.

    Raises:
        InputError: the manifest, the initial weights or the output is invalid, or the budget is too short for one
            epoch.

    Example:
        >>> import auxface
        >>> made = auxface.plan("faces.parquet", budget="30m", device="cpu", baselines=False)
        >>> made.estimated_seconds < made.budget_seconds
        True
    """
    began = time.perf_counter()
    seconds = parse_budget(budget)
    check_device(device)
    outputs = [] if out is None else [Path(out), plan_file(out)]
    for path in outputs:
        refuse_existing(path, overwrite)
    manifest = read_manifest(Path(data))
    labeled_hash = manifest.hash
    manifest = add_unlabeled(str(data), manifest, read_unlabeled(unlabeled), load_recipe("supervised"))
    facts = data_facts(manifest)
    starts = available_starts(resolve_device(device), start)
    planner = Planner(manifest, facts, seconds, device, began)
    planner.choose(starts, with_baselines=baselines)
    made = Plan(
        recipe=planner.recipe(),
        text=_recipe_text(planner),
        choices=tuple(planner.choices),
        timings=tuple(planner.timings),
        facts=facts,
        baselines=planner.baselines,
        start=planner.start,
        budget_seconds=seconds,
        estimated_seconds=round(planner.estimated_seconds, 1),
        planning_seconds=round(planner.planning_seconds, 1),
        manifest_hash=labeled_hash,
        machine=machine_kind(),
    )
    if out is not None:
        for path, text in zip(outputs, (made.text, json.dumps(made.to_dict(), indent=1) + "\n"), strict=True):
            with atomic_file(path) as temporary:
                temporary.write_text(text, encoding="utf-8")
    return made


def plan_file(recipe: str | Path) -> Path:
    """Return the path of the JSON file of a plan, in the folder of its recipe."""
    return Path(recipe).with_suffix(PLAN_SUFFIX)


def read_plan(recipe: object, manifest_hash: str) -> dict[str, Any] | None:
    """Return the plan that is stored with a recipe file; None if there is no plan for this manifest.

    Args:
        recipe: recipe argument of the training function; only a path can have a plan.
        manifest_hash: hash of the manifest.
    """
    path = plan_file(recipe) if isinstance(recipe, (str, Path)) and Path(recipe).is_file() else None
    if path is None or not path.is_file():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and found.get("manifest_hash") == manifest_hash else None


def _recipe_text(planner: Planner) -> str:
    """Return the recipe as YAML; sections are in the order of their first choice, and each reason is above its key."""
    facts = planner.facts
    lines = [
        f"# Written by 'auxface plan' for {facts.labeled} labeled and {facts.unlabeled} unlabeled training images.",
        f"# Budget {planner.budget / 60:.1f} minutes, estimated {planner.estimated_seconds / 60:.1f} minutes.",
        f"# Timed on: {machine_kind()}. This file may be edited.",
    ]
    for section in dict.fromkeys(choice.key.partition(".")[0] for choice in planner.choices):
        inner = [choice for choice in planner.choices if choice.key.startswith(f"{section}.")]
        if inner:
            lines.append(f"{section}:")
        for choice in inner or [choice for choice in planner.choices if choice.key == section]:
            lines += _yaml_lines(choice, "  " if inner else "")
    return "\n".join(lines) + "\n"


def _yaml_lines(choice: Choice, indent: str) -> list[str]:
    flow = yaml.safe_dump(choice.value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=10_000)
    written = f"{indent}{choice.key.rpartition('.')[2]}: {flow.removesuffix('...' + chr(10)).rstrip()}"
    return [f"{indent}# {choice.reason}", written] if choice.reason else [written]
