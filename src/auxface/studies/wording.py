"""What the figures of a study come to, in plain sentences."""

from auxface.evaluation.bootstrap import Estimate
from auxface.evaluation.vocabulary import METRICS, shown
from auxface.studies.evidence import LEVEL, DataEvidence, Evidence, Row, StudyComparison

UNCLEAR = "not told apart"
UNTESTED = "not tested"


def verdict(item: StudyComparison) -> str:
    """``better``, ``worse`` or ``not told apart`` at 5%, corrected for all comparisons of the study, or ``not tested``.

    The last is for methods that did not do what is compared, as the study file says.
    """
    value = item.difference.value
    if item.not_tested:
        return UNTESTED
    if value is None or item.p_holm is None or item.p_holm >= LEVEL:
        return UNCLEAR
    return "better" if (value > 0) == METRICS[item.metric].higher_is_better else "worse"


def gap_verdict(item: StudyComparison) -> str:
    """``narrower``, ``wider``, ``not told apart`` or ``not tested``, of a gap."""
    value = item.difference.value
    if item.not_tested:
        return UNTESTED
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
    title = METRICS[metric].title
    if not known:
        return f"{one.title}: {title} cannot be measured."
    sign = 1 if METRICS[metric].higher_is_better else -1
    # A method of which fewer seeds are done may owe its mean to the seeds alone.
    most = max(len(row.lines) for row in known.values())
    whole = [row for row in known.values() if len(row.lines) == most]
    best = max(whole, key=lambda row: sign * (row.overall[metric].value or 0))
    parts = [f"{one.title}: {best.name} has the best mean {title}, {_figure(metric, best)}."]
    for kind in ("better", "worse"):
        found = [item for item in one.comparisons if verdict(item) == kind]
        if found:
            listed = ", ".join(f"{item.first} ({points(metric, item.difference.value)})" for item in found)
            parts.append(f"{kind.capitalize()} than {found[0].second}: {listed}.")
    unclear = [item for item in one.comparisons if verdict(item) == UNCLEAR]
    if unclear:
        who = "No method" if len(unclear) == len(one.comparisons) else ", ".join(item.first for item in unclear)
        verb = "is" if len(unclear) == len(one.comparisons) or len(unclear) == 1 else "are"
        apart = "told apart" if who == "No method" else "not told apart"
        parts.append(f"{who} {verb} {apart} from {unclear[0].second}.")
    for item in one.comparisons:
        if verdict(item) == UNTESTED:
            parts.append(f"{item.first} against {item.second} is not tested: {item.not_tested}")
    for name, metrics in one.baselines.items():
        if metric in metrics:
            parts.append(_beside(known, metric, name, metrics[metric]))
    return " ".join(parts)


def _beside(known: dict[str, Row], metric: str, name: str, plain: float) -> str:
    beaten = [row.name for row in known.values() if against_plain(metric, row.overall[metric], plain) == "better"]
    if len(beaten) == len(known) > 1:
        who = "All methods lie"
    elif beaten:
        who = f"{', '.join(beaten)} {'lies' if len(beaten) == 1 else 'lie'}"
    else:
        who = "No method lies"
    side = "above" if METRICS[metric].higher_is_better else "below"
    return f"{who} {side} {name} ({shown(metric, plain)}) with the whole interval."


def _figure(metric: str, row: Row) -> str:
    estimate = row.overall[metric]
    span = "" if estimate.low is None else f" ({shown(metric, estimate.low)} to {shown(metric, estimate.high)})"
    seeds = len(row.lines)
    return f"{shown(metric, estimate.value)}{span}, {seeds} seed{'s' if seeds > 1 else ''}"
