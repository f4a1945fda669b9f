"""What the figures of a study come to, in plain sentences."""

from auxface.evaluation.bootstrap import Estimate
from auxface.evaluation.comparing import Comparison
from auxface.evaluation.vocabulary import METRICS, shown
from auxface.studies.evidence import LEVEL, DataEvidence, Evidence, Row

UNCLEAR = "not told apart"


def verdict(item: Comparison) -> str:
    """``better``, ``worse`` or ``not told apart``: at 5%, corrected for all comparisons of the study."""
    value = item.difference.value
    if value is None or item.p_holm is None or item.p_holm >= LEVEL:
        return UNCLEAR
    return "better" if (value > 0) == METRICS[item.metric].higher_is_better else "worse"


def gap_verdict(item: Comparison) -> str:
    """``narrower``, ``wider`` or ``not told apart``, of a gap."""
    value = item.difference.value
    if value is None or item.p_holm is None or item.p_holm >= LEVEL:
        return UNCLEAR
    return "narrower" if value < 0 else "wider"


def against_plain(metric: str, estimate: Estimate, plain: float) -> str:
    """Whether the whole interval of a method lies beyond a plain baseline."""
    if estimate.low is None or estimate.high is None:
        return UNCLEAR
    if estimate.low <= plain <= estimate.high:
        return UNCLEAR
    return "better" if (estimate.low > plain) == METRICS[metric].higher_is_better else "worse"


def points(metric: str, value: float | None) -> str:
    """A difference as it is read: percentage points where the metric is a share."""
    if value is None:
        return "–"
    text = f"{100 * value:+.1f} points" if METRICS[metric].percent else shown(metric, value, signed=True)
    return text.replace("-", "−")


def span_of_points(metric: str, estimate: Estimate) -> str:
    """The interval of a difference."""
    if estimate.low is None or estimate.high is None:
        return ""
    low, high = points(metric, estimate.low), points(metric, estimate.high)
    return f"{low.removesuffix(' points')} to {high.removesuffix(' points')}"


def chance(p: float | None) -> str:
    """A p as it is read."""
    if p is None:
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def conclusions(evidence: Evidence) -> list[str]:
    """A sentence or two per data set, and one on ranks."""
    found = [_data_conclusion(one, evidence.metric) for one in evidence.data]
    return [sentence for sentence in found if sentence] + [ranks_sentence(evidence)]


def ranks_sentence(evidence: Evidence) -> str:
    """What the ranks over data sets allow to say."""
    ranks = evidence.ranks
    if isinstance(ranks, str):
        return ranks
    many = f"{len(ranks.data)} data sets and {len(ranks.mean)} methods"
    if not ranks.can_tell:
        return (
            f"Over {many} ranks can tell nothing apart: the critical difference is {ranks.critical:.2f}, the best and "
            f"the worst mean rank differ by {len(ranks.mean) - 1} at most."
        )
    p = "all are equal" if ranks.p is None else f"Friedman's test that all are alike: p = {chance(ranks.p)}"
    return f"Over {many}, mean ranks that differ by more than {ranks.critical:.2f} are told apart; {p}."


def _data_conclusion(one: DataEvidence, metric: str) -> str:
    known = {name: row for name, row in one.rows.items() if row.overall[metric].value is not None}
    if not known:
        return f"{one.title}: {METRICS[metric].title} cannot be measured."
    sign = 1 if METRICS[metric].higher_is_better else -1
    best = max(known.values(), key=lambda row: sign * (row.overall[metric].value or 0))
    title = METRICS[metric].title
    parts = [f"{one.title}: the best mean {title} is that of {best.name}, {_figure(metric, best)}"]
    for kind in ("better", "worse"):
        names = [f"{item.first} ({points(metric, item.difference.value)})" for item in one.comparisons
                 if verdict(item) == kind]  # fmt: skip
        if names:
            parts.append(f"told apart from {one.comparisons[0].second} as {kind}: {', '.join(names)}")
    if one.comparisons and all(verdict(item) == UNCLEAR for item in one.comparisons):
        bases = list(dict.fromkeys(item.second for item in one.comparisons))
        base = bases[0] if len(bases) == 1 else "its baseline"
        parts.append(f"no method is told apart from {base}")
    for name, metrics in one.baselines.items():
        if metric in metrics:
            beaten = [
                row.name
                for row in known.values()
                if against_plain(metric, row.overall[metric], metrics[metric]) == "better"
            ]
            who = "all methods" if len(beaten) == len(known) and len(known) > 1 else ", ".join(beaten) or "no method"
            verb = "lie" if len(beaten) > 1 else "lies"
            parts.append(f"{who} {verb} above {name} ({shown(metric, metrics[metric])}) with the whole interval")
    return "; ".join(parts) + "."


def _figure(metric: str, row: Row) -> str:
    estimate = row.overall[metric]
    span = "" if estimate.low is None else f" ({shown(metric, estimate.low)} to {shown(metric, estimate.high)})"
    seeds = len(row.lines)
    return f"{shown(metric, estimate.value)}{span}, {seeds} seed{'s' if seeds > 1 else ''}"
