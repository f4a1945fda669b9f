"""From a study to its runs: every cell of the grid with its resolved recipe, the most informative first."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

from auxface.data.manifest import Manifest
from auxface.errors import InputError
from auxface.plugins import nearest
from auxface.recipe import Recipe, load_recipe
from auxface.recipe.load import recipe_hash
from auxface.studies.definition import Data, Method, Study

GROUP = "$group"
_OF_AUXILIARY = ("auxiliary", "auxiliaries", "primary_weight")


@dataclass(frozen=True)
class Run:
    """One training that a study asks for.

    Attributes:
        data: the data's entry.
        method: the method's name, with the values that it varies.
        factors: what varies for every method: recipe key to value, as text.
        label_fraction: share of the training labels that is known.
        recipe: resolved, with its seed.
        damages: corruptions that the model is tested under.
    """

    data: Data
    method: str
    factors: Mapping[str, str]
    label_fraction: float
    recipe: Recipe
    damages: tuple[str, ...] = ()
    named: Mapping[str, str] = field(default_factory=dict)
    """The method's own varied keys, as text."""

    @property
    def row(self) -> str:
        """The method with the values of what varies, as a table's row is called."""
        return row_name(self.method, self.factors)

    def facts(self) -> dict[str, str]:
        """What ``--where`` can ask for."""
        facts = {"data": self.data.name, "task": self.data.task, "method": self.method, "seed": str(self.recipe.seed)}
        return facts | {"label_fraction": f"{self.label_fraction:g}"} | dict(self.named) | dict(self.factors)

    def key(self, rows_hash: str) -> str:
        """What the run is: recipe (with its seed), rows of the manifest, and the damages of the test."""
        parts = [recipe_hash(self.recipe), rows_hash, *self.damages]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:20]


def row_name(method: str, factors: Mapping[str, str]) -> str:
    """A method at the values of what varies for all."""
    return f"{method} at {', '.join(factors.values())}" if factors else method


def methods_of(study: Study) -> dict[str, Method]:
    """Return the methods under the names that results give them, with the values that each varies."""
    return {_label(name, values): method for name, method in study.methods.items() for values in _combinations(method)}


def runs_of(study: Study, folder: Path) -> list[Run]:
    """Every run: one seed of everything first, whole labels before fractions, the baseline before its rivals.

    Args:
        study: the study.
        folder: where recipe files are looked for.

    Raises:
        InputError: a recipe that cannot be read or a setting that it refuses; a baseline that is no method; two
            methods that are one and the same.
    """
    methods = [(name, method, values) for name, method in study.methods.items() for values in _combinations(method)]
    labels = [_label(name, values) for name, _, values in methods]
    if study.compare.baseline not in labels:
        near = nearest(study.compare.baseline, labels)
        raise InputError(
            f"{study.name}: compare.baseline '{study.compare.baseline}' is no method{near}; "
            f"methods: {'; '.join(labels)}"
        )
    methods.sort(key=lambda item: _label(item[0], item[2]) != study.compare.baseline)
    runs: list[Run] = []
    owners: dict[tuple[str, str, float], str] = {}
    fractions = sorted(study.label_fractions, reverse=True)
    for seed, fraction, data in product(study.seeds, fractions, study.data):
        for factors in _grid(study.vary):
            for name, method, values in methods:
                recipe = _recipe(study, data, method, {**values, **factors}, seed, folder)
                run = Run(
                    data,
                    _label(name, values),
                    {key: _text(value) for key, value in factors.items()},
                    fraction,
                    recipe,
                    study.damages,
                    {key: _text(value) for key, value in values.items()},
                )
                owner = owners.setdefault((data.name, recipe_hash(recipe), fraction), run.row)
                if owner != run.row:
                    raise InputError(
                        f"{study.name}: '{owner}' and '{run.row}' are one and the same recipe; what varies for some "
                        "methods alone belongs in their own 'vary'"
                    )
                runs.append(run)
    return runs


def chosen(runs: Sequence[Run], where: Sequence[str]) -> list[Run]:
    """The runs that agree with every ``key=value``.

    Raises:
        InputError: not written as key=value, a key that no run has, or a value that leaves no run.
    """
    kept = list(runs)
    for item in where:
        key, equals, value = item.partition("=")
        key, value = key.strip(), value.strip()
        known = sorted({name for run in runs for name in run.facts()})
        if not equals or key not in known:
            raise InputError(f"--where {item}: write it as key=value{nearest(key, known)}; keys: {', '.join(known)}")
        values = sorted({run.facts()[key] for run in kept if key in run.facts()})
        kept = [run for run in kept if run.facts().get(key) == value]
        if not kept:
            raise InputError(f"--where {item}: no run has it{nearest(value, values)}; values: {', '.join(values)}")
    return kept


def rows_hash(manifest: Manifest) -> str:
    """A manifest's hash that is the same on every machine: of its rows with file names in place of paths."""
    names = manifest.table["path"].map(lambda path: Path(str(path)).name)
    digest = hashlib.sha256(json.dumps({name: label.classes for name, label in manifest.labels.items()}).encode())
    digest.update(manifest.table.assign(path=names).astype(str).to_csv(index=False).encode())
    return digest.hexdigest()


def _recipe(study: Study, data: Data, method: Method, varied: Mapping[str, Any], seed: int, folder: Path) -> Recipe:
    file = folder / method.recipe
    source = str(file) if file.is_file() else method.recipe
    has_auxiliary = bool(load_recipe(source).objectives)
    shared = {
        key: value
        for key, value in {**study.settings, **data.settings}.items()
        if has_auxiliary or key.partition(".")[0] not in _OF_AUXILIARY
    }
    settings = {"tasks": {data.task: {}}, **shared, **method.settings, **varied, "seed": seed}
    if GROUP in settings.values() and data.group is None:
        raise InputError(f"{study.name}: data '{data.name}' has no group for the setting '{GROUP}'; name one")
    named = {key: data.group if value == GROUP else value for key, value in settings.items()}
    return load_recipe(source, [f"{key}={json.dumps(value)}" for key, value in named.items()])


def _combinations(method: Method) -> Iterator[dict[str, Any]]:
    for values in _grid(method.vary):
        if not any(all(values.get(key) == value for key, value in item.items()) for item in method.skip):
            yield values


def _grid(vary: Mapping[str, Sequence[Any]]) -> Iterator[dict[str, Any]]:
    for values in product(*vary.values()):
        yield dict(zip(vary, values))


def _label(name: str, values: Mapping[str, Any]) -> str:
    return f"{name} ({', '.join(map(_text, values.values()))})" if values else name


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
