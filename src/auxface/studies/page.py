"""The page of a study: one file that opens anywhere."""

from collections import Counter
from typing import Any

from auxface.evaluation.vocabulary import METRICS
from auxface.studies.diagram import critical_difference_diagram
from auxface.studies.evidence import Evidence
from auxface.studies.panels import data_view, efficiency_curves
from auxface.studies.wording import conclusions, ranks_sentence


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
