"""The report pages of verification and search, one HTML file each, in the style of the other reports."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from auxface.evaluation.intervals import Estimate
from auxface.evaluation.report.charts import Line, line_chart
from auxface.evaluation.report.page import page_environment
from auxface.evaluation.verification import PairFigures, ScoredPairs
from auxface.sample_kind import SampleKind

TERMS = {
    "fold_accuracy": "accuracy over folds",
    "accuracy": "accuracy at the stored threshold",
    "auc": "AUC",
    "eer": "equal error rate",
    "tar_at_far_0.1": "TAR at FAR 0.1",
    "tar_at_far_0.01": "TAR at FAR 0.01",
    "tar_at_far_0.001": "TAR at FAR 0.001",
    "fmr": "false match rate",
    "fnmr": "false non-match rate",
    "recall_at_1": "recall at 1",
    "recall_at_5": "recall at 5",
    "recall_at_10": "recall at 10",
    "map_at_r": "MAP at R",
}
_BINS = 30


def verification_page(
    title: str,
    systems: Mapping[str, tuple[ScoredPairs, PairFigures, Mapping[str, Estimate]]],
    *,
    kind: SampleKind,
    differences: Mapping[str, Estimate],
    threshold: Mapping[str, Any] | None,
    notes: Sequence[str],
    files: Sequence[str],
) -> str:
    """Return the report page of a verification as HTML.

    Args:
        title: title of the report page.
        systems: scored pairs, verification metrics and retrieval metrics of each system, by name; the model comes
            first, then the baselines.
        kind: what the pairs consist of, images of faces or excerpts of music.
        differences: AUC of the model minus that of each baseline, by name of the baseline.
        threshold: record of the threshold stored with the model; None if there is no stored threshold.
        notes: sentences about the method and the data.
        files: names of the CSV files next to the page, without suffix.
    """
    model, (pairs, figures, _) = next(iter(systems.items()))
    names = [name for name in TERMS if any(name in _all(found) for found in systems.values())]
    table = [(TERMS[name], [_cell(_all(found).get(name), kind) for found in systems.values()]) for name in names]
    return (
        page_environment("auxface.evaluation")
        .get_template("verification.html.j2")
        .render(
            title=title,
            model=model,
            systems=list(systems),
            kind=kind,
            sentences=_opening(model, figures, differences, pairs, kind),
            table=table,
            charts=[_roc(systems), _similarities(pairs, threshold, kind)],
            groups=[
                (
                    group.replace("_", " "),
                    [(level, *(_cell(one, kind) for one in each.values())) for level, each in levels.items()],
                )
                for group, levels in figures.groups.items()
            ],
            folds=[f"{value:.1%}" for value in figures.folds],
            threshold=threshold,
            notes=notes,
            files=files,
        )
    )


def search_page(
    title: str,
    queries: Sequence[tuple[str, Sequence[tuple[str | None, str, float, float, str]]]],
    *,
    kind: SampleKind,
    searched: int,
    threshold: float | None,
) -> str:
    """Return the results page of a search as HTML.

    Args:
        title: title of the report page.
        queries: image of each query as a ``data:`` URL, and its hits. A hit consists of image, name, similarity,
            distance, and a remark such as "above the threshold", which may be empty.
        kind: what was searched, faces or excerpts of music.
        searched: number of rows of the searched table.
        threshold: threshold stored with the model; None if there is no stored threshold.
    """
    return (
        page_environment("auxface.evaluation")
        .get_template("search.html.j2")
        .render(title=title, queries=queries, kind=kind, searched=searched, threshold=threshold)
    )


def _all(found: tuple[ScoredPairs, PairFigures, Mapping[str, Estimate]]) -> dict[str, Estimate]:
    return {**found[1].estimates, **found[2]}


def _cell(estimate: Estimate | None, kind: SampleKind) -> tuple[str, str]:
    """Return the value and its interval as text, or the reason why there is none."""
    if estimate is None:
        return "–", ""
    if estimate.value is None:
        return "–", f"not measurable: {estimate.why}"
    span = estimate.why or ""
    if estimate.low is not None and estimate.high is not None:
        span = _with_minus(f"{estimate.low:.3f} to {estimate.high:.3f}")
    return _with_minus(f"{estimate.value:.3f}"), f"{span}; n {estimate.n:,}, {estimate.clusters:,} {kind.identities}"


def _with_minus(number: str) -> str:
    return number.replace("-", "\N{MINUS SIGN}")


def _opening(
    model: str, figures: PairFigures, differences: Mapping[str, Estimate], pairs: ScoredPairs, kind: SampleKind
) -> list[tuple[str, str, str]]:
    """Return the question, the number and the sentence of each item of the opening."""
    genuine, auc = int(pairs.same.sum()), figures.estimates["auc"]
    text = (
        f"Probability, for {model}, that a pair of {kind.images} of the same {kind.identity} is more similar than a "
        f"pair of {kind.images} of different {kind.identities} (AUC; 0.5 is chance). 95% interval "
        f"{_cell(auc, kind)[1]}. {genuine:,} pairs of the same {kind.identity}, {len(pairs.same) - genuine:,} of "
        f"different {kind.identities}."
    )
    found = [(f"Are {kind.images} of the same {kind.identity} more similar?", _cell(auc, kind)[0], text)]
    for name, each in differences.items():
        if each.value is None or each.low is None or each.high is None:
            verdict = "The difference has no interval"
        elif each.low > 0:
            verdict = f"{model} has the higher AUC"
        elif each.high < 0:
            verdict = f"{model} has the lower AUC"
        else:
            verdict = "No significant difference"
        value = "–" if each.value is None else _with_minus(f"{each.value:+.3f}")
        text = f"AUC of {model} minus that of {name}: {verdict}. {_cell(each, kind)[1]}."
        found.append((f"Is it better than {name}?", value, text))
    if "fmr" in figures.estimates:
        fmr, fnmr = (_cell(figures.estimates[name], kind) for name in ("fmr", "fnmr"))
        text = (
            f"False match rate at the threshold chosen on the validation split ({fmr[1]}): the fraction of pairs of "
            f"different {kind.identities} that are considered the same {kind.identity}. The false non-match rate is "
            f"{fnmr[0]} ({fnmr[1]})."
        )
        found.append((f"How often are different {kind.identities} matched?", fmr[0], text))
    return found


def _roc(systems: Mapping[str, tuple[ScoredPairs, PairFigures, Mapping[str, Estimate]]]) -> dict[str, str]:
    lines = []
    for place, (pairs, _, _) in enumerate(systems.values()):
        order = np.argsort(-np.asarray(pairs.similarity), kind="stable")
        same = np.asarray(pairs.same)[order]
        true, false = np.cumsum(same) / same.sum(), np.cumsum(~same) / (~same).sum()
        lines.append(Line(place, [0.0, *false.tolist()], [0.0, *true.tolist()]))
    svg = line_chart(
        "roc",
        lines,
        x_label="false match rate",
        percent=True,
        limits=(0, 1),
        whole_x=False,
        diagonal=True,
        marked=False,
    )
    return {"name": "True match rate", "alt": "ROC curves; the numbers are in the table above", "svg": svg}


def _similarities(pairs: ScoredPairs, threshold: Mapping[str, Any] | None, kind: SampleKind) -> dict[str, str]:
    similarity, same = np.asarray(pairs.similarity), np.asarray(pairs.same)
    edges = np.linspace(similarity.min(), similarity.max() + 1e-9, _BINS + 1)
    middles = ((edges[1:] + edges[:-1]) / 2).tolist()
    lines = [
        Line(place, middles, (np.histogram(similarity[rows], edges)[0] / rows.sum()).tolist(), dashed=bool(place))
        for place, rows in enumerate((same, ~same))
    ]
    svg = line_chart("similarities", lines, x_label="similarity", percent=True, whole_x=False, marked=False)
    at = "" if threshold is None else f"; threshold {threshold['threshold']:.3f}"
    name = f"Pairs by similarity (dashed: different {kind.identities}{at})"
    return {"name": name, "alt": "Distribution of the similarities of both kinds of pairs", "svg": svg}
