"""Small parts of sentences: lists, spans, differences.

What may be concluded from a comparison or a gap, and what may not.

Five sentences: how good, how sure, for whom worst, what breaks it, what was left out.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from auxface.evaluation.compare import Comparison
from auxface.evaluation.groups import CROSS
from auxface.evaluation.intervals import Estimate
from auxface.evaluation.metrics import METRICS, PRIMARY, decision_metric, format_value
from auxface.evaluation.results import Audit, ModelAudit, Severity, TaskAudit


def span(metric: str, estimate: Estimate) -> str:
    """The interval in brackets, after a space; "" where there is none."""
    if estimate.low is None or estimate.high is None:
        return ""
    return f" ({format_value(metric, estimate.low)} to {format_value(metric, estimate.high)})"


def points(metric: str, value: float, signed: bool = True) -> str:
    """A difference: percentages differ by points."""
    if not METRICS[metric].percent:
        return format_value(metric, value, signed=signed)
    return format_value(metric, value, signed=signed).removesuffix("%") + " points"


def words(name: str) -> str:
    """A name as it is read."""
    return name.replace("_", " ")


_DAMAGE = {"h264": "H.264", "jpeg_quality": "JPEG quality", "jpeg_compression": "JPEG compression"}
_ATTACKS = {"fgsm": "FGSM", "pgd": "PGD"}


def damage_words(name: str) -> str:
    """A kind of damage as it is read."""
    return _ATTACKS.get(name) or _DAMAGE.get(name) or words(name)


def is_attack(name: str) -> bool:
    """Whether it takes somebody who knows the model."""
    return name in _ATTACKS


def capital(text: str) -> str:
    """With its first letter as a capital; the others as they are."""
    return text[:1].upper() + text[1:]


def listed(items: Iterable[str]) -> str:
    """``a, b and c``."""
    found = list(items)
    return found[0] if len(found) == 1 else ", ".join(found[:-1]) + " and " + found[-1] if found else ""


SIGNIFICANT = 0.05


def are_apart(item: Comparison) -> bool:
    """Whether the data tell two models apart, after correction for all comparisons of the metric."""
    found = item.difference
    if item.p_holm is None or found.low is None or found.high is None:
        return False
    return item.p_holm < SIGNIFICANT and not found.low <= 0 <= found.high


def comparison_sentence(item: Comparison) -> str:
    """What a pair of models allows to be said."""
    found = item.difference
    if found.value is None or found.low is None or found.high is None:
        return f"{item.first} and {item.second} cannot be compared: {found.why}."
    title = METRICS[item.metric].title
    if not are_apart(item):
        extent = f"{points(item.metric, found.low)} to {points(item.metric, found.high)}"
        return (
            f"This run does not show a difference between {item.first} and {item.second}: "
            f"{points(item.metric, found.value)} in {title}, where anything from {extent} is compatible with the data."
        )
    ahead, behind = (item.first, item.second)
    value, low, high = found.value, found.low, found.high
    if (value > 0) != METRICS[item.metric].higher_is_better:
        ahead, behind = behind, ahead
        value, low, high = -value, -high, -low
    return (
        f"{ahead} is better than {behind} on these samples: {points(item.metric, value)} in {title} "
        f"({points(item.metric, low)} to {points(item.metric, high)}). "
        "It is one training of each; another seed may move both."
    )


def gap_comparison_sentence(item: Comparison) -> str:
    """What a pair of models allows to be said of the gaps between the levels of a group; "" where it says nothing."""
    found = item.difference
    if found.value is None or found.low is None or found.high is None:
        return ""
    metric = item.metric.removesuffix("_difference")
    if not are_apart(item):
        extent = f"{points(metric, found.low)} to {points(metric, found.high)}"
        return (
            f"{item.first} and {item.second} are not shown to differ in how far apart they serve the levels of "
            f"{words(item.group)}: the gaps differ by {points(metric, found.value)} ({extent})."
        )
    narrow, wide = (item.first, item.second) if found.value < 0 else (item.second, item.first)
    return (
        f"{narrow} serves the levels of {words(item.group)} more alike than {wide}: its gap in "
        f"{METRICS[metric].title} is smaller by {points(metric, abs(found.value), signed=False)}."
    )


def gap_sentence(model: str, group: str, audited: TaskAudit) -> str:
    """What a group's gap allows to be said; "" where there is no gap."""
    metric = decision_metric(audited.task.kind)
    gap = audited.gaps.get(group, {}).get(f"{metric}_difference")
    if gap is None or gap.value is None or gap.more is None:
        return f"{model}: {gap.why}." if gap is not None and gap.why else ""
    chance = gap.more.get("by_chance")
    extent = f"{points(metric, gap.value, signed=False)} between {gap.more['best']} and {gap.more['worst']}"
    if not isinstance(chance, float):
        return f"{model}: {extent}; {gap.why or 'too little data to say how sure'}."
    limit = points(metric, chance, signed=False)
    if gap.value > chance:
        return f"{model}: {extent}, more than {limit}, which equally well served levels exceed one time in twenty."
    return (
        f"{model}: {extent}; equally well served levels exceed {limit} one time in twenty, so this table does not show "
        "that they differ."
    )


@dataclass(frozen=True)
class Sentence:
    """One of the five: the question it answers, its number, and the sentence."""

    question: str
    figure: str
    text: str


def five_sentences(audit: Audit, task: str) -> list[Sentence]:
    """The five; of the best model where there are several."""
    name = best_model(audit, task)
    audited = audit.models[name].tasks[task]
    return [
        _how_good(audit, task, name),
        _how_sure(audit, task, name),
        _for_whom(name, audited),
        _what_breaks(name, audited),
        _left_out(audit.models[name], audited, name if len(audit.models) > 1 else ""),
    ]


def best_model(audit: Audit, task: str) -> str:
    """The model with the best primary metric; the first of equals."""
    kinds = {name: model.tasks[task] for name, model in audit.models.items() if task in model.tasks}
    best = next(iter(kinds))
    for name, audited in kinds.items():
        metric = PRIMARY[audited.task.kind]
        value, record = audited.overall[metric].value, kinds[best].overall[metric].value
        if value is not None and (record is None or METRICS[metric].better(value, record)):
            best = name
    return best


def _how_good(audit: Audit, task: str, name: str) -> Sentence:
    audited = audit.models[name].tasks[task]
    metric = PRIMARY[audited.task.kind]
    estimate = audited.overall[metric]
    figure = format_value(metric, estimate.value)
    if estimate.value is None:
        return Sentence("How good?", "–", f"{name} cannot be measured: {estimate.why}.")
    classes = audited.task.classes
    subject = {
        "class": f"{name} names the right {words(task)} for {figure} of {estimate.n:,} samples",
        "binary": (
            f"{name} ranks a {words(classes[-1])} sample above a {words(classes[0])} one "
            f"{100 * estimate.value:.1f} times in a hundred (AUC)"
            if classes
            else ""
        ),
        "multilabel": (
            f"{name} decides its {len(classes)} attributes rightly {figure} of the time on average, yes and no "
            "counting the same"
        ),
        "ordinal": f"{name} is off by {figure} on average over {estimate.n:,} samples",
    }[audited.task.kind]
    others = [
        f"{other} {format_value(metric, model.tasks[task].overall[metric].value)}"
        for other, model in audit.models.items()
        if other != name and task in model.tasks and metric in model.tasks[task].overall
    ]
    text = subject + (f"; {listed(others)}" if others else "") + "."
    return Sentence("How good?", figure, text + _reference(audited))


def _reference(audited: TaskAudit) -> str:
    """What the decision is worth, or what it takes to do as well without looking; then the videos."""
    text = ""
    if audited.task.kind == "binary" and audited.overall["balanced_accuracy"].value is not None:
        decided = audited.overall["balanced_accuracy"].value
        threshold, own = audited.task.threshold(audited.task.classes[1]), audited.task.level_thresholds
        how = f"At the threshold {threshold:.3g}" if own is None else f"With a threshold for each {words(own.group)}"
        text = (
            f" {how} it decides {format_value('balanced_accuracy', decided)} rightly, both classes counting the same."
        )
    if audited.task.kind == "class" and audited.confusion is not None and audited.confusion.sum():
        share = audited.confusion.sum(axis=1).max() / audited.confusion.sum()
        text = f" Always naming the most frequent one would reach {format_value('accuracy', float(share))}."
    metric = PRIMARY[audited.task.kind]
    if audited.videos is not None and audited.videos.overall[metric].value is not None:
        whole = audited.videos.overall[metric]
        text += (
            f" By whole videos, {METRICS[metric].title} is {format_value(metric, whole.value)}{span(metric, whole)}, "
            f"{whole.n:,} videos."
        )
    return text


def _how_sure(audit: Audit, task: str, name: str) -> Sentence:
    audited = audit.models[name].tasks[task]
    metric = PRIMARY[audited.task.kind]
    estimate = audited.overall[metric]
    if estimate.low is None or estimate.high is None:
        return Sentence("How sure?", "–", f"No interval can be given: {estimate.why}.")
    half = (estimate.high - estimate.low) / 2
    text = (
        f"The true value of {METRICS[metric].title} lies between {format_value(metric, estimate.low)} and "
        f"{format_value(metric, estimate.high)} (95% confidence, from {estimate.clusters:,} {_units(audit)})."
    )
    pairs = [
        item
        for item in audit.comparisons
        if item.task == task and item.metric == metric and not item.group and name in (item.first, item.second)
    ]
    beaten = [_other(item, name) for item in pairs if are_apart(item)]
    equal = [_other(item, name) for item in pairs if not are_apart(item)]
    if beaten:
        text += f" Its lead over {listed(beaten)} is larger than that uncertainty."
    if equal:
        text += f" This run does not show a difference between it and {listed(equal)}."
    return Sentence("How sure?", "±" + points(metric, half, signed=False), text)


def _for_whom(name: str, audited: TaskAudit) -> Sentence:
    metric = decision_metric(audited.task.kind)
    question = "For whom worst?"
    levels = [
        (estimates[metric].value, group, level, estimates[metric])
        for group, found in audited.groups.items()
        if CROSS not in group
        for level, estimates in found.items()
        if metric in estimates and estimates[metric].value is not None
    ]
    if not levels:
        return Sentence(question, "–", "The table has no group that can be measured, so nobody can say.")
    pick = min if METRICS[metric].higher_is_better else max
    value, group, level, estimate = pick(levels, key=lambda item: item[0] or 0.0)
    gap = audited.gaps[group].get(f"{metric}_difference")
    text = (
        f"{name} does worst for {words(group)} {level}: {METRICS[metric].title} {format_value(metric, value)}"
        f"{span(metric, estimate)}, {estimate.n:,} samples"
    )
    if gap is None or gap.value is None or gap.more is None:
        return Sentence(question, format_value(metric, value), text + ".")
    best = audited.groups[group][str(gap.more["best"])][metric]
    text += f"; best for {gap.more['best']}, with {format_value(metric, best.value)}."
    chance = gap.more.get("by_chance")
    if isinstance(chance, float):
        apart = points(metric, gap.value, signed=False)
        limit = points(metric, chance, signed=False)
        text += (
            f" A gap of {apart} is wider than {limit}, which equally well served levels exceed one time in twenty."
            if gap.value > chance
            else f" Equally well served levels exceed {limit} one time in twenty, so {apart} proves nothing yet."
        )
    return Sentence(question, format_value(metric, value), text)


def _what_breaks(name: str, audited: TaskAudit) -> Sentence:
    metric = decision_metric(audited.task.kind)
    question = "What breaks it?"
    worst = _worst_damage(audited, metric, attacks=False) or _worst_damage(audited, metric, attacks=True)
    clean = audited.overall[metric].value
    if worst is None or clean is None or worst[2].value is None:
        return Sentence(question, "–", "Nothing is known: no damaged images were scored.")
    corruption, severity, found = worst
    if not METRICS[metric].better(clean, worst[2].value):
        kinds = listed(damage_words(item) for item in audited.robustness)
        text = f"Nothing that was tried: {kinds} leave {name} as it was."
        return Sentence(question, format_value(metric, found.value), text)
    tried = sum(is_attack(item) == is_attack(corruption) for item in audited.robustness)
    at = f"at severity {severity}" if isinstance(severity, int) else f"at {severity}"
    text = (
        f"{capital(damage_words(corruption))} {at} takes {name} from {format_value(metric, clean)} to "
        f"{format_value(metric, found.value)}{span(metric, found)} in {METRICS[metric].title}, "
        f"the worst of {tried} kinds of damage tried."
    )
    attacked = _worst_damage(audited, metric, attacks=True)
    if attacked is not None and not is_attack(corruption):
        text += (
            f" Somebody who knows the model can take it to {format_value(metric, attacked[2].value)} by changes of at "
            f"most {attacked[1]} in each pixel ({damage_words(attacked[0])})."
        )
    return Sentence(question, format_value(metric, found.value), text + _widest(audited, metric))


def _worst_damage(audited: TaskAudit, metric: str, *, attacks: bool) -> tuple[str, Severity, Estimate] | None:
    """The damage under which the metric is worst, among attacks or among all others."""
    worst: tuple[str, Severity, Estimate] | None = None
    for corruption, steps in audited.robustness.items():
        if is_attack(corruption) != attacks:
            continue
        for severity, estimates in steps.items():
            found = estimates[metric]
            if found.value is not None and (
                worst is None or METRICS[metric].better(worst[2].value or 0.0, found.value)
            ):
                worst = (corruption, severity, found)
    return worst


def _widest(audited: TaskAudit, metric: str) -> str:
    """Where damage widens the gap of a group most."""
    name = f"{metric}_difference"
    widened: list[tuple[float, str, str, Severity]] = []
    for corruption, steps in audited.robustness_groups.items():
        for severity, found in steps.items():
            for group, estimates in found.gaps.items():
                before, after = audited.gaps.get(group, {}).get(name), estimates.get(name)
                if before and after and before.value is not None and after.value is not None:
                    widened.append((after.value - before.value, group, corruption, severity))
    if not widened:
        return ""
    change, group, corruption, severity = max(widened, key=lambda item: item[0])
    before = audited.gaps[group][name].value or 0.0
    if change <= 0:
        return " No damage widens the gap of a group."
    return (
        f" The gap of {words(group)} widens most under {damage_words(corruption)} {severity}: from "
        f"{points(metric, before, signed=False)} to {points(metric, before + change, signed=False)}."
    )


def _left_out(model: ModelAudit, audited: TaskAudit, name: str) -> Sentence:
    question = "What was left out?"
    counts = {reason: count for reason, count in model.left_out.items() if count}
    if audited.unscored:
        counts["no score"] = audited.unscored
    total = sum(counts.values())
    of = f" for {name}" if name else ""
    if not total and not audited.unlabeled:
        text = f"Nothing{of}: every sample of the table was scored, and none is said to be missing."
        return Sentence(question, "0", text)
    text = ""
    if total:
        every = model.rows + sum(model.left_out.values())
        found = listed(f"{count:,} {words(reason)}" for reason, count in counts.items())
        text = f"{total:,} of {every:,} samples have no score{of}: {found}."
    if audited.unlabeled:
        text += f" {audited.unlabeled:,} rows have no label for this task."
    for metric, estimate in audited.counted_as_errors.items():
        title = METRICS[metric].title
        value = format_value(metric, estimate.value)
        text += f" Counting them as errors, {title} would be {value}{span(metric, estimate)}."
        break
    return Sentence(question, f"{total or audited.unlabeled:,}", text.strip())


def _other(item: Comparison, name: str) -> str:
    return item.second if item.first == name else item.first


def _units(audit: Audit) -> str:
    kinds = audit.method["clusters"]
    return {"video": "videos", "source": "sources", "row": "samples"}[kinds[0]] if len(kinds) == 1 else "clusters"
