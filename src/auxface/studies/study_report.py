"""``auxface study report``: what is done so far of a study, from one machine or several, as a page and as tables.

The page of a study: one file that opens anywhere.

The figures of a study as one JSON document.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from auxface.atomic import atomic_file, refuse_existing
from auxface.evaluation.metrics import METRICS
from auxface.progress import progress_steps
from auxface.studies.definition import read_plan
from auxface.studies.evidence import DataEvidence, Evidence, Row, gather
from auxface.studies.figures import critical_difference_diagram, data_view, efficiency_curves
from auxface.studies.results import merged_results
from auxface.studies.wording import conclusions, gap_verdict, markdown_tables, ranks_sentence, verdict


def render(evidence: Evidence) -> str:
    """The page as text."""
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=ChoiceLoader([PackageLoader("auxface.studies"), PackageLoader("auxface.evaluation")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    views = [data_view(one, evidence.metric) for one in evidence.data]
    ranks = evidence.ranks
    return environment.get_template("evidence.html.j2").render(
        evidence=evidence,
        study=evidence.study,
        metric=METRICS[evidence.metric],
        conclusions=conclusions(evidence)[:-1],
        views=views,
        ranks=None if isinstance(ranks, str) else critical_difference_diagram(ranks),
        ranks_alt=""
        if isinstance(ranks, str)
        else "; ".join(f"{name} {mean:.2f}" for name, mean in ranks.mean.items()),
        ranks_sentence=ranks_sentence(evidence),
        efficiency=efficiency_curves(evidence),
        learning=[view.curve for view in views if view.curve],
        made=_made(evidence),
    )


def _made(evidence: Evidence) -> list[tuple[str, list[str]]]:
    """Where the runs were made: machines, commits, versions, manifests, each with the number of runs."""
    lines: list[dict[str, Any]] = [
        line for one in evidence.data for row in one.rows.values() for line in row.lines.values()
    ]
    found = [
        ("machine", Counter(line["machine"] for line in lines)),
        ("commit", Counter(line["commit"] or "not from a clone" for line in lines)),
        ("day", Counter(line["created"][:10] for line in lines)),
        ("versions", Counter(", ".join(f"{k} {v}" for k, v in line["versions"].items()) for line in lines)),
        ("manifest", Counter(f"{line['data']}: SHA-256 {line['manifest_hash'][:16]}" for line in lines)),
    ]
    return [(name, [f"{text} ({count} runs)" for text, count in counts.items()]) for name, counts in found]


def study_report(
    folders: Path | Sequence[Path],
    out: Path,
    *,
    markdown: Path | None = None,
    resamples: int = 1000,
    seed: int = 0,
    overwrite: bool = False,
) -> Evidence:
    """Compare the finished runs of a study and write a page.

    Args:
        folders: results of the same study; a run that several hold counts once.
        out: the page to write.
        markdown: the tables as Markdown, too.
        resamples: bootstrap resamples behind each interval.
        seed: of the resamples.
        overwrite: replace outputs that exist.

    Raises:
        InputError: a folder without results, or of another study; predictions that are missing; an output that exists.
    """
    for path in (out, *([markdown] if markdown else [])):
        refuse_existing(path, overwrite)
    folders = [folders] if isinstance(folders, Path) else list(folders)
    study, planned = read_plan(folders)
    results = merged_results(folders)
    with progress_steps("measure runs", "runs") as progress:
        evidence = gather(study, results.values(), planned, resamples=resamples, seed=seed, progress=progress)
    page = render(evidence)
    with atomic_file(out) as beside:
        beside.write_text(page, encoding="utf-8")
    if markdown is not None:
        with atomic_file(markdown) as beside:
            beside.write_text(markdown_tables(evidence), encoding="utf-8")
    return evidence


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
