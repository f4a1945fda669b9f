"""Whether an auxiliary did anything: one sentence from the log of a run.

The gradient ratio says how strongly the auxiliary acted on the encoder, the skill on validation images whether it
learned its target. See :mod:`auxface.model.gradient_meter` and
:mod:`auxface.objectives.reconstruction.constant_prediction`.

Example:
    >>> entries = [{"reconstruction.gradient_ratio": 0.31, "val.reconstruction.skill.rgb": 0.62}]
    >>> describe_effect(entries).split(":")[0]
    'The auxiliary acted'
"""

from collections.abc import Iterable, Mapping
from typing import Any

LEAST_RATIO = 0.05
LEAST_SKILL = 0.02
_RATIO, _SKILL = ".gradient_ratio", ".skill."


def describe_effect(entries: Iterable[Mapping[str, Any]]) -> str | None:
    """Describe the effect of the auxiliaries of a run in one sentence.

    Args:
        entries: the entries of ``log.jsonl``, one per epoch.

    Returns:
        A sentence that begins with "The auxiliary acted"; with "The auxiliary hardly acted" where the mean gradient
        ratio over the second half of the epochs is below 0.05; or with "The auxiliary did not learn its target" where
        the last skill on validation images of every target is below 0.02. None where neither was measured, as in a
        supervised run.
    """
    epochs = list(entries)
    ratios = [_mean(epoch, lambda name: name.endswith(_RATIO)) for epoch in epochs[len(epochs) // 2 :]]
    measured = [ratio for ratio in ratios if ratio is not None]
    ratio = sum(measured) / len(measured) if measured else None
    skills = _last_skills(epochs)
    if ratio is None and not skills:
        return None
    parts: list[str] = []
    if ratio is not None:
        parts.append(f"the norm of its gradient on the last shared stage was {ratio:.2g} times that of the task")
    if skills:
        named = ", ".join(f"{value:.2f} ({name.replace('_', ' ')})" for name, value in skills.items())
        parts.append(f"its skill on validation images was {named}")
    if ratio is not None and ratio < LEAST_RATIO:
        begin, limit = "The auxiliary hardly acted", f" (a ratio below {LEAST_RATIO} is negligible)"
    elif skills and max(skills.values()) < LEAST_SKILL:
        begin, limit = "The auxiliary did not learn its target", " (0 is the skill of the best constant)"
    else:
        begin, limit = "The auxiliary acted", ""
    return f"{begin}: {', and '.join(parts)}{limit}."


def _mean(epoch: Mapping[str, Any], chosen: Any) -> float | None:
    values = [float(value) for name, value in epoch.items() if chosen(name)]
    return sum(values) / len(values) if values else None


def _last_skills(epochs: list[Mapping[str, Any]]) -> dict[str, float]:
    for epoch in reversed(epochs):
        found = {
            name.split(_SKILL, 1)[1]: float(value)
            for name, value in epoch.items()
            if name.startswith("val.") and _SKILL in name
        }
        if found:
            return found
    return {}
