from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from auxface.evaluation import Predictions, ScoredTask, write_predictions
from auxface.studies.definition import Study
from auxface.studies.results_file import append_result, predictions_path

CLASSES = ("a", "b", "c")


def line_of(key: str, data: str, method: str, seed: int, **more) -> dict:
    return {
        "key": key,
        "study": "made",
        "status": "done",
        "data": data,
        "task": "face",
        "method": method,
        "factors": {},
        "row": method,
        "label_fraction": 1.0,
        "seed": seed,
        "machine": "made",
        "wall_seconds": 12.0,
        "training_seconds": 10.0,
        "memory_gib": 1.0,
        "encoder_parameters": 1000,
        "curve": [{"epoch": at, "val.balanced_accuracy": 0.5 + at / 100} for at in (1, 2)],
        "tasks": {"face": {"robustness_summary": {}}},
        "versions": {"python": "3.11"},
        "commit": None,
        "created": "2026-01-01T00:00:00+00:00",
        "manifest_hash": "0" * 64,
    } | more


@pytest.fixture
def line() -> Callable[..., dict]:
    """Makes a record of results.jsonl."""
    return line_of


@pytest.fixture
def study_of() -> Callable[..., Study]:
    """Makes a study from names of data sets, names of methods (the first is the baseline) and seeds."""

    def make(data, methods, seeds, /, **more) -> Study:
        raw = {
            "name": "made",
            "about": "Known answers.",
            "data": [
                {"name": name, "manifest": "m.parquet", "task": "face", "baselines": {"plain": {"accuracy": 0.6}}}
                for name in data
            ],
            "methods": {name: {"recipe": "supervised"} for name in methods},
            "seeds": list(seeds),
            "compare": {"baseline": methods[0], "metric": "accuracy"},
        }
        return Study.model_validate(raw | more)

    return make


@pytest.fixture
def made() -> Callable[..., list[tuple[dict, Path]]]:
    """Writes simulated results with known true accuracies; returns records with their folder."""

    def make(
        folder: Path,
        skills: dict[str, float],
        *,
        data=("faces",),
        seeds=(0, 1, 2),
        n=400,
        chance=0,
        spread=0.01,
        fraction=1.0,
        ordinal=False,
    ) -> list[tuple[dict, Path]]:
        generator = np.random.default_rng(chance)
        for name in data:
            true = generator.integers(0, 3, n)
            # The ease of a sample is equal for all models. It adds to the probability of a correct prediction.
            ease = generator.normal(0, 0.15, n)
            frame = pd.DataFrame({"dataset": name, "method": "", "source": [f"p{at // 2}" for at in range(n)]})
            frame = frame.assign(video="", frame=np.arange(n), split="test")
            frame["group.side"] = np.where(np.arange(n) % 4 < 2, "left", "right")
            frame["true.face"] = np.array(CLASSES)[true]
            for method, skill in skills.items():
                for seed in seeds:
                    own = skill + generator.normal(0, spread)
                    right = generator.uniform(size=n) < own + ease
                    predicted = np.where(right, true, (true + generator.integers(1, 3, n)) % 3)
                    for place, label in enumerate(CLASSES):
                        frame[f"score.face.{label}"] = np.where(predicted == place, 0.8, 0.1)
                    table = Predictions(frame, (ScoredTask("face", "class", CLASSES),))
                    if ordinal:
                        numbers = frame.drop(columns=[f"score.face.{label}" for label in CLASSES])
                        numbers = numbers.assign(**{"true.face": true, "predicted.face": predicted})
                        table = Predictions(numbers, (ScoredTask("face", "ordinal"),))
                    key = f"{name}-{method}-{seed}" + (f"-{fraction}" if fraction < 1 else "")
                    place = predictions_path(folder, key)
                    write_predictions(table, folder / "made.parquet")
                    place.parent.mkdir(parents=True, exist_ok=True)
                    append_result(
                        folder, line_of(key, name, method, seed, label_fraction=fraction), folder / "made.parquet"
                    )
        from auxface.studies.results_file import merge_results

        return list(merge_results([folder]).values())

    return make
