"""``auxface study report``: what is done so far of a study, from one machine or several, as a page and as tables."""

from collections.abc import Sequence
from pathlib import Path

from auxface.atomic import atomic_file, refuse_existing
from auxface.progress import progress_steps
from auxface.studies.evidence import Evidence, gather
from auxface.studies.markdown import markdown_tables
from auxface.studies.page import render
from auxface.studies.plan import read_plan
from auxface.studies.results import merged_results


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
