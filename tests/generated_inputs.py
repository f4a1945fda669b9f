"""Try a case on many generated inputs, and check that the inputs were really tried."""

from hypothesis import HealthCheck, given, settings


def try_inputs(case, strategy, examples):
    """Call ``case`` with at least ``examples`` inputs that a hypothesis strategy generates."""
    tried = 0

    @given(strategy)
    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    def each(value):
        nonlocal tried
        tried += 1
        case(value)

    each()
    assert tried >= examples
