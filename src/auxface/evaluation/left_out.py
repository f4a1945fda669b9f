"""Samples without a score: what the figures would be if every one of them were an error."""

from collections.abc import Mapping

from auxface.evaluation.bootstrap import Estimate

_SHARES_OF_SAMPLES = ("accuracy", "cumulative_score_1", "cumulative_score_5")


def counted_as_errors(overall: Mapping[str, Estimate], missing: int) -> dict[str, Estimate]:
    """Shares of samples with ``missing`` more samples, all wrong.

    Only metrics that are a share of all samples have such a figure: a sample that was left out has no score to rank
    and, as a rule, no known class. The number left out is taken as given, so that the interval shrinks with the value.

    Args:
        overall: metric to estimate over the samples that were scored.
        missing: samples that were not.
    """
    if not missing:
        return {}
    found = {}
    for metric in _SHARES_OF_SAMPLES:
        estimate = overall.get(metric)
        if estimate is None or estimate.value is None:
            continue
        share = estimate.n / (estimate.n + missing)
        low, high = (None if end is None else end * share for end in (estimate.low, estimate.high))
        found[metric] = Estimate(
            estimate.value * share, low, high, estimate.n + missing, estimate.clusters, estimate.why
        )
    return found
