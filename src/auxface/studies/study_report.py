"""``auxface study report``: write a page and tables on runs of a study, which may come from several machines.

Example::

    from auxface import study_report

    analysis = study_report(Path("studies/balance"), Path("report.html"), markdown=Path("tables.md"))
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from auxface.atomic import atomic_file, refuse_existing
from auxface.evaluation.metrics import METRICS
from auxface.evaluation.report.page import page_environment
from auxface.evaluation.resampling import RESAMPLES
from auxface.progress import progress_steps
from auxface.studies.analysis import DataAnalysis, MethodSummary, StudyAnalysis, analyze_study
from auxface.studies.conclusions import conclusions, gap_verdict, markdown_tables, ranks_sentence, verdict
from auxface.studies.definition import read_plan
from auxface.studies.effects_figure import effects_figure
from auxface.studies.page_sections import data_section, label_fraction_curves
from auxface.studies.results_file import merge_results
from auxface.studies.statistics import critical_difference_diagram


def study_report(
    folders: Path | Sequence[Path],
    out: Path,
    *,
    markdown: Path | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
    overwrite: bool = False,
) -> StudyAnalysis:
    """Compare the finished runs of a study and write a page.

    Args:
        folders: results folders of one study; a run that is in several folders is used once.
        out: HTML page to write.
        markdown: Markdown file to which the tables are written; None to write no Markdown file.
        resamples: number of bootstrap resamples for each interval.
        seed: seed for the resampling.
        overwrite: whether to replace existing output files.

    Returns:
        The analysis that is shown on the page.

    Raises:
        InputError: a folder has no results or belongs to another study, predictions are missing, or an output file
            exists.

    Example:
        >>> from pathlib import Path
        >>> import auxface
        >>> analysis = auxface.study_report(Path("runs/study"), Path("study.html"))  # doctest: +SKIP
    """
    for path in (out, *([markdown] if markdown else [])):
        refuse_existing(path, overwrite)
    folders = [folders] if isinstance(folders, Path) else list(folders)
    study, planned = read_plan(folders)
    results = merge_results(folders)
    with progress_steps("measure runs", "runs") as progress:
        analysis = analyze_study(study, results.values(), planned, resamples=resamples, seed=seed, progress=progress)
    page = study_page(analysis)
    with atomic_file(out) as temporary:
        temporary.write_text(page, encoding="utf-8")
    if markdown is not None:
        with atomic_file(markdown) as temporary:
            temporary.write_text(markdown_tables(analysis), encoding="utf-8")
    return analysis


def study_page(analysis: StudyAnalysis) -> str:
    """Return the page as a single HTML document without external resources."""
    environment = page_environment("auxface.studies", "auxface.evaluation")
    sections = [data_section(one) for one in analysis.data]
    ranks = None if isinstance(analysis.ranks, str) else analysis.ranks
    return environment.get_template("study_report.html.j2").render(
        analysis=analysis,
        study=analysis.study,
        metrics=[METRICS[name] for name in dict.fromkeys(one.metric for one in analysis.data)],
        effects=effects_figure(analysis),
        # The last conclusion is the sentence about ranks, which has its own section.
        conclusions=conclusions(analysis)[:-1],
        sections=sections,
        ranks=critical_difference_diagram(ranks) if ranks else None,
        ranks_alt="; ".join(f"{name} {mean:.2f}" for name, mean in ranks.mean.items()) if ranks else "",
        ranks_sentence=ranks_sentence(analysis),
        label_curves=label_fraction_curves(analysis),
        learning_curves=[section.curve for section in sections if section.curve],
        provenance=_provenance(analysis),
    )


def _provenance(analysis: StudyAnalysis) -> list[tuple[str, list[str]]]:
    """Return the machines, commits, dates, versions and manifests of the runs, each with the number of runs."""
    records: list[dict[str, Any]] = [
        record for one in analysis.data for method in one.methods.values() for record in method.records.values()
    ]
    found = [
        ("machine", Counter(record["machine"] for record in records)),
        ("commit", Counter(record["commit"] or "not run from a clone" for record in records)),
        ("day", Counter(record["created"][:10] for record in records)),
        ("versions", Counter(", ".join(f"{k} {v}" for k, v in record["versions"].items()) for record in records)),
        ("manifest", Counter(f"{record['data']}: SHA-256 {record['manifest_hash'][:16]}" for record in records)),
    ]
    return [(name, [f"{text} ({count} runs)" for text, count in counts.items()]) for name, counts in found]


def json_document(analysis: StudyAnalysis) -> dict[str, Any]:
    """Return the analysis as plain data: results and comparisons of each data set, ranks, conclusions, failed runs."""
    ranks = analysis.ranks
    return {
        "study": analysis.study.name,
        "metric": analysis.study.compare.metric,
        "runs": {"planned": analysis.planned, "done": analysis.done, "failed": len(analysis.failed)},
        "data": [_data_document(one) for one in analysis.data],
        "ranks": {"why": ranks}
        if isinstance(ranks, str)
        else {"mean": ranks.mean, "critical_difference": ranks.critical_difference, "p": ranks.p},
        "conclusions": conclusions(analysis),
        "failed": [{name: record[name] for name in ("data", "row", "seed", "why")} for record in analysis.failed],
    }


def _data_document(one: DataAnalysis) -> dict[str, Any]:
    return {
        "name": one.name,
        "task": one.task.name,
        "metric": one.metric,
        "label_fraction": one.label_fraction,
        "samples": one.samples,
        "clusters": one.clusters,
        "baselines": {name: dict(known) for name, known in one.baselines.items()},
        "methods": {name: _method_document(method) for name, method in one.methods.items()},
        "comparisons": [item.to_dict() | {"verdict": verdict(item)} for item in one.comparisons],
        "gap_comparisons": [item.to_dict() | {"verdict": gap_verdict(item)} for item in one.gap_comparisons],
    }


def _method_document(method: MethodSummary) -> dict[str, Any]:
    return {
        "seeds": sorted(method.records),
        "overall": {name: estimate.to_dict() for name, estimate in method.overall.items()},
        "worst_group": {name: estimate.to_dict() for name, estimate in method.worst.items()},
        "gap": {name: estimate.to_dict() for name, estimate in method.gap.items()},
        "auxiliary": method.auxiliary.to_dict() if method.auxiliary else None,
        "damaged": method.under_corruption.to_dict() if method.under_corruption else None,
        "training_seconds": method.training_seconds(),
        "memory_gib": method.peak_memory_gib(),
        "encoder_parameters": method.encoder_parameters(),
    }
