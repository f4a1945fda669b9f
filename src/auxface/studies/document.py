"""The figures of a study as one JSON document."""

from typing import Any

from auxface.studies.evidence import DataEvidence, Evidence, Row
from auxface.studies.wording import conclusions, gap_verdict, verdict


def document(evidence: Evidence) -> dict[str, Any]:
    """Plain data: per data set the methods with their figures, the comparisons, and the ranks."""
    ranks = evidence.ranks
    return {
        "study": evidence.study.name,
        "metric": evidence.metric,
        "runs": {"planned": evidence.planned, "done": evidence.done, "failed": len(evidence.failed)},
        "data": [_data(one) for one in evidence.data],
        "ranks": {"why": ranks}
        if isinstance(ranks, str)
        else {"mean": ranks.mean, "critical_difference": ranks.critical, "p": ranks.p},
        "conclusions": conclusions(evidence),
        "failed": [{name: line[name] for name in ("data", "row", "seed", "why")} for line in evidence.failed],
    }


def _data(one: DataEvidence) -> dict[str, Any]:
    return {
        "name": one.name,
        "task": one.task.name,
        "label_fraction": one.label_fraction,
        "samples": one.samples,
        "clusters": one.clusters,
        "baselines": {name: dict(known) for name, known in one.baselines.items()},
        "methods": {name: _row(row) for name, row in one.rows.items()},
        "comparisons": [item.to_dict() | {"verdict": verdict(item)} for item in one.comparisons],
        "gap_comparisons": [item.to_dict() | {"verdict": gap_verdict(item)} for item in one.gap_comparisons],
    }


def _row(row: Row) -> dict[str, Any]:
    return {
        "seeds": sorted(row.lines),
        "overall": {name: estimate.to_dict() for name, estimate in row.overall.items()},
        "worst_group": {name: estimate.to_dict() for name, estimate in row.worst.items()},
        "gap": {name: estimate.to_dict() for name, estimate in row.gap.items()},
        "damaged": row.damaged.to_dict() if row.damaged else None,
        "training_seconds": row.seconds(),
        "memory_gib": row.memory(),
        "encoder_parameters": row.parameters(),
    }
