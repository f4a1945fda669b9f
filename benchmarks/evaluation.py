"""Time and memory of an audit: python benchmarks/evaluation.py speed | memory [ROWS].

``speed``: 1,000 resamples of 100,000 rows in 12 groups, compared with calls of scikit-learn's AUC and accuracy on as
many resamples of the same rows (timed on 5 and scaled). ``memory``: a table on disk is read, checked and measured.
"""

import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import accuracy_score, roc_auc_score

from auxface.evaluation import Predictions, ScoredTask, audit_tables, read_predictions, write_predictions

RESAMPLES = 1000


def table(rows: int, videos: int = 5000, groups: int = 12) -> Predictions:
    generator = np.random.default_rng(0)
    video = generator.integers(0, videos, rows).astype(np.int32)
    true = (np.arange(videos) % 2)[video].astype(np.int8)
    logit = 1.5 * (true - 0.5) + generator.normal(0, 0.8, videos)[video] + generator.normal(0, 1, rows)
    group = pd.Categorical.from_codes(generator.integers(0, groups, videos)[video], [f"g{k}" for k in range(groups)])
    names = pd.Categorical.from_codes(video, [f"v{k}" for k in range(videos)])
    frame = pd.DataFrame(
        {
            "dataset": pd.Categorical.from_codes(np.zeros(rows, dtype=np.int8), ["simulated"]),
            "method": pd.Categorical.from_codes(true, ["original", "swap"]),
            "source": names,
            "video": names,
            "frame": np.arange(rows),
            "group.skin": group,
            "true.forged": true,
            "score.forged.forged": (1 / (1 + np.exp(-logit))).astype(np.float32),
        }
    )
    return Predictions(frame, (ScoredTask("forged", "binary", ("real", "forged"), {"forged": 0.5}, "simulated"),))


def speed() -> None:
    simulated = table(100_000)
    start = time.perf_counter()
    audit_tables({"model": simulated}, resamples=RESAMPLES)
    audit_seconds = time.perf_counter() - start
    true, score = simulated.frame["true.forged"].to_numpy(), simulated.frame["score.forged.forged"].to_numpy()
    group = simulated.frame["group.skin"].cat.codes.to_numpy()
    generator = np.random.default_rng(0)
    start = time.perf_counter()
    for _ in range(5):
        rows = generator.integers(0, len(true), len(true))
        for level in (None, *range(12)):
            part = rows if level is None else rows[group[rows] == level]
            roc_auc_score(true[part], score[part])
            accuracy_score(true[part], score[part] >= 0.5)
    sklearn_seconds = (time.perf_counter() - start) / 5 * RESAMPLES
    print(f"audit with all metrics and gaps, by frame and by video: {audit_seconds:.1f} s, peak {_peak():.2f} GB")
    print(
        f"AUC and accuracy with scikit-learn, one resample at a time: {sklearn_seconds:.0f} s, "
        f"{sklearn_seconds / audit_seconds:.0f} times as long"
    )


def memory(rows: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "predictions.parquet"
        simulated = table(rows)
        write_predictions(simulated, path)
        del simulated
        print(f"{rows:,} rows, {path.stat().st_size / 1e6:.0f} MB on disk; peak while simulating them {_peak():.2f} GB")
        start = time.perf_counter()
        found = audit_tables({"model": read_predictions(path)}, resamples=RESAMPLES)
        seconds = time.perf_counter() - start
    auc = found.models["model"].tasks["forged"].overall["auc"]
    print(f"read and audited in {seconds:.0f} s, peak {_peak():.2f} GB")
    print(f"AUC {auc.value:.4f} ({auc.low:.4f}-{auc.high:.4f})")


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


if __name__ == "__main__":
    if sys.argv[1:2] == ["speed"]:
        speed()
    elif sys.argv[1:2] == ["memory"]:
        memory(int(sys.argv[2]) if len(sys.argv) > 2 else 10_000_000)
    else:
        sys.exit(__doc__)
