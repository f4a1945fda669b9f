"""Expand a study into its runs, in the order of execution, and select the runs that fit into a time budget.

The duration of a run is predicted from the finished runs.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

from auxface.data.manifest import Manifest
from auxface.errors import InputError
from auxface.objectives import check_auxiliaries
from auxface.plugins import nearest
from auxface.recipe import Recipe, load_recipe
from auxface.recipe.load import recipe_hash
from auxface.studies.definition import Method, Study, StudyData
from auxface.studies.results_file import DONE, RunRecord

GROUP = "$group"
_AUXILIARY_KEYS = ("auxiliary", "auxiliaries", "primary_weight", "balance")


@dataclass(frozen=True)
class Run:
    """One training run of a study.

    Attributes:
        data: data set and label of the run.
        method: name of the method, including the values of its own varied settings.
        factors: values of the study's varied settings as text, by recipe key.
        label_fraction: fraction of the training labels to use.
        recipe: resolved recipe, including the seed.
        corruptions: corruptions under which the model is tested.
        method_factors: values of the method's own varied settings as text, by recipe key.
    """

    data: StudyData
    method: str
    factors: Mapping[str, str]
    label_fraction: float
    recipe: Recipe
    corruptions: tuple[str, ...] = ()
    method_factors: Mapping[str, str] = field(default_factory=dict)

    @property
    def row(self) -> str:
        """Name of the run's row in the tables: the method with the values of the study's varied settings."""
        return row_name(self.method, self.factors)

    def filter_values(self) -> dict[str, str]:
        """Return the keys and values with which ``--where`` can select this run."""
        tasks, seed = ", ".join(self.data.tasks), str(self.recipe.seed)
        values = {"data": self.data.name, "task": tasks, "method": self.method, "seed": seed}
        return values | {"label_fraction": f"{self.label_fraction:g}"} | dict(self.method_factors) | dict(self.factors)

    def key(self, rows_hash: str) -> str:
        """Return the run's key: a hash of the recipe (with its seed), the manifest's rows and the corruptions."""
        parts = [recipe_hash(self.recipe), rows_hash, *self.corruptions]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:20]


def plan_runs(study: Study, folder: Path) -> list[Run]:
    """Return every run in order: by seed, full labels before label fractions, the baseline before other methods.

    Args:
        study: the study.
        folder: folder to which the paths of recipe files are relative.

    Raises:
        InputError: a recipe cannot be read, a setting is not valid for a recipe, the baseline is not a method, or two
            methods have equal recipes.
    """
    methods = [(name, method, values) for name, method in study.methods.items() for values in _combinations(method)]
    names = [_method_name(name, values) for name, _, values in methods]
    if study.compare.baseline not in names:
        raise InputError(
            f"{study.name}: compare.baseline '{study.compare.baseline}' is not a method"
            f"{nearest(study.compare.baseline, names)}; methods: {'; '.join(names)}"
        )
    for name, method in study.methods.items():
        if method.control_of is not None and (method.control_of == name or method.control_of not in names):
            raise InputError(
                f"{study.name}: methods.{name}.control_of '{method.control_of}' is not another method"
                f"{nearest(method.control_of, names)}; methods: {'; '.join(names)}"
            )
    methods.sort(key=lambda item: _method_name(item[0], item[2]) != study.compare.baseline)
    runs: list[Run] = []
    owners: dict[tuple[str, str, float], str] = {}
    fractions = sorted(study.label_fractions, reverse=True)
    for seed, fraction, data in product(study.seeds, fractions, study.data):
        for factors in _grid(study.vary):
            for name, method, values in methods:
                varied = {**values, **factors}
                if study.labeled_per_batch is not None and (fraction < 1 or data.unlabeled):
                    varied["train.labeled_per_batch"] = study.labeled_per_batch
                recipe = _resolve_recipe(study, data, method, varied, seed, folder)
                run = Run(
                    data,
                    _method_name(name, values),
                    {key: _text(value) for key, value in factors.items()},
                    fraction,
                    recipe,
                    study.corruption_names,
                    {key: _text(value) for key, value in values.items()},
                )
                owner = owners.setdefault((data.name, recipe_hash(recipe), fraction), run.row)
                if owner != run.row:
                    raise InputError(
                        f"{study.name}: '{owner}' and '{run.row}' have the same recipe; if a setting varies only for "
                        "some methods, move it into their 'vary'"
                    )
                runs.append(run)
    return runs


def select_runs(runs: Sequence[Run], where: Sequence[str]) -> list[Run]:
    """Return the runs that match every ``key=value``.

    Raises:
        InputError: an item does not have the form ``key=value``, a key is unknown, or no run has the value.
    """
    selected = list(runs)
    for item in where:
        key, equals, value = item.partition("=")
        key, value = key.strip(), value.strip()
        known = sorted({name for run in runs for name in run.filter_values()})
        if not equals or key not in known:
            raise InputError(f"--where {item}: expected key=value{nearest(key, known)}; keys: {', '.join(known)}")
        values = sorted({run.filter_values()[key] for run in selected if key in run.filter_values()})
        selected = [run for run in selected if run.filter_values().get(key) == value]
        if not selected:
            raise InputError(
                f"--where {item}: no run has this value{nearest(value, values)}; values: {', '.join(values)}"
            )
    return selected


def expand_methods(study: Study) -> dict[str, Method]:
    """Return one method for each combination of varied settings, by its name in the results."""
    return {
        _method_name(name, values): method for name, method in study.methods.items() for values in _combinations(method)
    }


def row_name(method: str, factors: Mapping[str, str]) -> str:
    """Return the name of a method with the values of the study's varied settings."""
    return f"{method} at {', '.join(factors.values())}" if factors else method


def hash_rows(manifest: Manifest) -> str:
    """Return a hash of a manifest's rows, with paths reduced to file names, so that it is equal on every machine."""
    names = manifest.table["path"].map(lambda path: Path(str(path)).name)
    digest = hashlib.sha256(json.dumps({name: label.classes for name, label in manifest.labels.items()}).encode())
    digest.update(manifest.table.assign(path=names).astype(str).to_csv(index=False).encode())
    return digest.hexdigest()


def _resolve_recipe(
    study: Study, data: StudyData, method: Method, varied: Mapping[str, Any], seed: int, folder: Path
) -> Recipe:
    file = folder / method.recipe
    source = str(file) if file.is_file() else method.recipe
    has_auxiliary = bool(load_recipe(source).all_auxiliaries)
    common = {
        key: value
        for key, value in {**study.settings, **data.settings}.items()
        if has_auxiliary or key.partition(".")[0] not in _AUXILIARY_KEYS
    }
    settings = {"tasks": {task: {} for task in data.tasks}, **common, **method.settings, **varied, "seed": seed}
    if GROUP in settings.values() and data.group is None:
        raise InputError(
            f"{study.name}: a setting has the value '{GROUP}', but the data set '{data.name}' has no group; add "
            "'group: COLUMN'"
        )
    replaced = {key: data.group if value == GROUP else value for key, value in settings.items()}
    resolved = load_recipe(source, settings=replaced)
    return check_auxiliaries(resolved, str(source))


def _combinations(method: Method) -> Iterator[dict[str, Any]]:
    for values in _grid(method.vary):
        if not any(all(values.get(key) == value for key, value in item.items()) for item in method.skip):
            yield values


def _grid(vary: Mapping[str, Sequence[Any]]) -> Iterator[dict[str, Any]]:
    for values in product(*vary.values()):
        yield dict(zip(vary, values))


def _method_name(name: str, values: Mapping[str, Any]) -> str:
    return f"{name} ({', '.join(map(_text, values.values()))})" if values else name


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


@dataclass(frozen=True)
class PendingRun:
    """A run that has no result yet.

    Attributes:
        run: the run.
        key: key of the run in ``results.jsonl``.
        remaining: fraction of the run that remains; below 1 for an interrupted run.
    """

    run: Run
    key: str
    remaining: float = 1.0


def expected_seconds(pending: PendingRun, records: Iterable[RunRecord], machine: str) -> float | None:
    """Predict the duration of a run from the finished runs on the same kind of machine.

    Returns:
        The median duration of the finished runs of the same row on the same data or, if none exist, the maximum
        duration of all finished runs, multiplied by the remaining fraction of the run; None without a finished run.
    """
    run = pending.run
    finished = [record for record in records if record["status"] == DONE and record["machine"] == machine]
    same_row = [
        record["wall_seconds"] for record in finished if record["row"] == run.row and record["data"] == run.data.name
    ]
    known = median(same_row) if same_row else max((record["wall_seconds"] for record in finished), default=None)
    return None if known is None else known * pending.remaining


def next_run(
    pending: Sequence[PendingRun],
    records: Mapping[str, RunRecord],
    machine: str,
    seconds_left: float | None,
    budget: float | None = None,
) -> PendingRun | None:
    """Return the first run, in study order, that is expected to finish in time; interrupted runs come first.

    A run may also start if its duration is unknown or exceeds the whole budget. It is then interrupted when time runs
    out, and the next call of ``study`` resumes it.

    Args:
        pending: the runs without a result.
        records: existing results, by key.
        machine: kind of this machine.
        seconds_left: remaining time in seconds; None for no limit.
        budget: total budget in seconds; if None, no run may exceed ``seconds_left``.
    """
    for item in sorted(pending, key=lambda one: one.remaining == 1):
        expected = expected_seconds(item, records.values(), machine)
        if seconds_left is None or expected is None or expected <= seconds_left:
            return item
        if budget is not None and expected > budget:
            return item
    return None
