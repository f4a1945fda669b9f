"""What the numbers say, in plain words: five sentences for a reader who was not there, and what may be concluded."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from auxface.evaluation.audit import Audit, ModelAudit, TaskAudit
from auxface.evaluation.bootstrap import Estimate
from auxface.evaluation.comparing import Comparison
from auxface.evaluation.partition import CROSS
from auxface.evaluation.vocabulary import AT_THRESHOLD, METRICS, PRIMARY, better, shown

SIGNIFICANT = 0.05


@dataclass(frozen=True)
class Sentence:
    """One of the five: the question it answers, its number, and the sentence."""

    question: str
    figure: str
    text: str


def five_sentences(audit: Audit, task: str) -> list[Sentence]:
    """How good, how sure, for whom worst, what breaks it, what was left out; of the best model where there are several."""
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
        if value is not None and (record is None or better(metric, value, record)):
            best = name
    return best


def group_metric(audited: TaskAudit) -> str:
    """The metric that groups and corruptions are shown in: a decision, where the task makes one."""
    return AT_THRESHOLD.get(audited.task.kind, PRIMARY[audited.task.kind])


def comparison_sentence(item: Comparison) -> str:
    """What a pair of models allows to be said."""
    found = item.difference
    if found.value is None or found.low is None or found.high is None:
        return f"{item.first} and {item.second} cannot be compared: {found.why}."
    apart = item.p_holm is not None and item.p_holm < SIGNIFICANT and not found.low <= 0 <= found.high
    title = METRICS[item.metric].title
    span = f"{_points(item.metric, found.low)} to {_points(item.metric, found.high)}"
    if not apart:
        return (
            f"This run does not show a difference between {item.first} and {item.second}: "
            f"{_points(item.metric, found.value)} in {title}, where anything from {span} is compatible with the data."
        )
    ahead, behind = (item.first, item.second)
    value, low, high = found.value, found.low, found.high
    if (value > 0) != METRICS[item.metric].higher_is_better:
        ahead, behind = behind, ahead
        value, low, high = -value, -high, -low
    return (
        f"{ahead} is better than {behind} on these samples: {_points(item.metric, value)} in {title} "
        f"({_points(item.metric, low)} to {_points(item.metric, high)}). "
        "It is one training of each; another seed may move both."
    )


def gap_sentence(model: str, group: str, audited: TaskAudit) -> str:
    """What a group's gap allows to be said; "" where it cannot be measured."""
    metric = group_metric(audited)
    gap = audited.gaps.get(group, {}).get(f"{metric}_difference")
    if gap is None or gap.value is None or gap.more is None:
        return f"{model}: {gap.why}." if gap is not None and gap.why else ""
    chance = gap.more.get("by_chance")
    extent = f"{_points(metric, gap.value, signed=False)} between {gap.more['best']} and {gap.more['worst']}"
    if not isinstance(chance, float):
        return f"{model}: {extent}; {gap.why or 'too little data to say how sure'}."
    limit = _points(metric, chance, signed=False)
    if gap.value > chance:
        return f"{model}: {extent}, more than the {limit} that noise alone would make: the groups are not served alike."
    return f"{model}: {extent}; noise alone would make up to {limit}, so this table does not show that groups differ."


def _how_good(audit: Audit, task: str, name: str) -> Sentence:
    audited = audit.models[name].tasks[task]
    metric = PRIMARY[audited.task.kind]
    estimate = audited.overall[metric]
    figure = shown(metric, estimate.value)
    if estimate.value is None:
        return Sentence("How good?", "–", f"{name} cannot be measured: {estimate.why}.")
    subject = {
        "class": f"{name} names the right {_words(task)} for {figure} of {estimate.n:,} samples",
        "binary": (
            f"{name} ranks a {_words(audited.task.classes[-1])} sample above a {_words(audited.task.classes[0])} one "
            f"{100 * estimate.value:.1f} times in a hundred (AUC)"
        ),
        "multilabel": f"{name} decides its {len(audited.task.classes)} attributes rightly {figure} of the time on average, "
        "yes and no counting the same",
        "ordinal": f"{name} is off by {figure} on average over {estimate.n:,} samples",
    }[audited.task.kind]
    others = [
        f"{other} {shown(metric, model.tasks[task].overall[metric].value)}"
        for other, model in audit.models.items()
        if other != name and task in model.tasks and metric in model.tasks[task].overall
    ]
    text = subject + (f"; {_list(others)}" if others else "") + "."
    return Sentence("How good?", figure, text + _reference(audited))


def _reference(audited: TaskAudit) -> str:
    """What it takes to do as well without looking."""
    if audited.task.kind == "binary":
        decided = audited.overall["balanced_accuracy"]
        if decided.value is None:
            return ""
        threshold = audited.task.threshold(audited.task.classes[1])
        return f" At the threshold {threshold:.3g} it decides {shown('balanced_accuracy', decided.value)} rightly, both classes counting the same."
    if audited.task.kind == "class" and audited.confusion is not None and audited.confusion.sum():
        share = audited.confusion.sum(axis=1).max() / audited.confusion.sum()
        return f" Always naming the most frequent one would reach {shown('accuracy', float(share))}."
    return ""


def _how_sure(audit: Audit, task: str, name: str) -> Sentence:
    audited = audit.models[name].tasks[task]
    metric = PRIMARY[audited.task.kind]
    estimate = audited.overall[metric]
    if estimate.low is None or estimate.high is None:
        return Sentence("How sure?", "–", f"No interval can be given: {estimate.why}.")
    half = (estimate.high - estimate.low) / 2
    text = (
        f"With other {_units(audit)} of the same kind the figure would lie between {shown(metric, estimate.low)} and "
        f"{shown(metric, estimate.high)}, 19 times in 20 ({estimate.clusters:,} {_units(audit)})."
    )
    pairs = [
        item
        for item in audit.comparisons
        if item.task == task and item.metric == metric and name in (item.first, item.second)
    ]
    beaten = [_other(item, name) for item in pairs if _apart(item)]
    equal = [_other(item, name) for item in pairs if not _apart(item)]
    if beaten:
        text += f" Its lead over {_list(beaten)} is larger than that uncertainty."
    if equal:
        text += f" This run does not show a difference between it and {_list(equal)}."
    return Sentence("How sure?", "±" + _points(metric, half, signed=False), text)


def _for_whom(name: str, audited: TaskAudit) -> Sentence:
    metric = group_metric(audited)
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
        f"{name} does worst for {_words(group)} {level}: {METRICS[metric].title} {shown(metric, value)}"
        f"{_span(metric, estimate)}, {estimate.n:,} samples"
    )
    if gap is None or gap.value is None or gap.more is None:
        return Sentence(question, shown(metric, value), text + ".")
    best = audited.groups[group][str(gap.more["best"])][metric]
    text += f"; best for {gap.more['best']}, with {shown(metric, best.value)}."
    chance = gap.more.get("by_chance")
    if isinstance(chance, float):
        apart = _points(metric, gap.value, signed=False)
        limit = _points(metric, chance, signed=False)
        text += (
            f" A gap of {apart} is more than noise alone would make ({limit})."
            if gap.value > chance
            else f" Noise alone would make a gap of up to {limit}, so these {apart} prove nothing yet."
        )
    return Sentence(question, shown(metric, value), text)


def _what_breaks(name: str, audited: TaskAudit) -> Sentence:
    metric = group_metric(audited)
    question = "What breaks it?"
    worst: tuple[str, int, Estimate] | None = None
    for corruption, steps in audited.robustness.items():
        for severity, estimates in steps.items():
            found = estimates[metric]
            if found.value is not None and (worst is None or better(metric, worst[2].value or 0.0, found.value)):
                worst = (corruption, severity, found)
    clean = audited.overall[metric].value
    if worst is None or clean is None or worst[2].value is None:
        return Sentence(question, "–", "Nothing is known: no corrupted pictures were scored.")
    corruption, severity, found = worst
    if not better(metric, clean, worst[2].value):
        text = f"Nothing that was tried: {_list(_words(item) for item in audited.robustness)} leave {name} as it was."
        return Sentence(question, shown(metric, found.value), text)
    text = (
        f"{_words(corruption).capitalize()} at severity {severity} takes {name} from {shown(metric, clean)} to "
        f"{shown(metric, found.value)}{_span(metric, found)} in {METRICS[metric].title}, "
        f"the worst of {len(audited.robustness)} corruptions tried."
    )
    return Sentence(question, shown(metric, found.value), text)


def _left_out(model: ModelAudit, audited: TaskAudit, name: str) -> Sentence:
    counts = {reason: count for reason, count in model.left_out.items() if count}
    if audited.unscored:
        counts["no score"] = audited.unscored
    total = sum(counts.values())
    of = f" for {name}" if name else ""
    if not total and not audited.unlabelled:
        return Sentence("What was left out?", "0", f"Nothing{of}: every sample of the split was scored.")
    found = _list(f"{count:,} {_words(reason)}" for reason, count in counts.items())
    text = (
        f"{total:,} of {model.rows + sum(model.left_out.values()):,} samples have no score{of}: {found}."
        if total
        else ""
    )
    if audited.unlabelled:
        text += f" {audited.unlabelled:,} rows have no label for this task."
    accuracy = audited.overall.get("accuracy")
    if total and accuracy is not None and accuracy.value is not None and audited.task.kind != "multilabel":
        text += f" Counted as errors, accuracy would be {shown('accuracy', accuracy.value * accuracy.n / (accuracy.n + total))}."
    return Sentence("What was left out?", f"{total or audited.unlabelled:,}", text.strip())


def _apart(item: Comparison) -> bool:
    found = item.difference
    if item.p_holm is None or found.low is None or found.high is None:
        return False
    return item.p_holm < SIGNIFICANT and not found.low <= 0 <= found.high


def _other(item: Comparison, name: str) -> str:
    return item.second if item.first == name else item.first


def _units(audit: Audit) -> str:
    kinds = audit.method["clusters"]
    return {"video": "videos", "source": "sources", "row": "samples"}[kinds[0]] if len(kinds) == 1 else "clusters"


def _span(metric: str, estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return ""
    return f" ({shown(metric, estimate.low)} to {shown(metric, estimate.high)})"


def _points(metric: str, value: float, signed: bool = True) -> str:
    """A difference: percentages differ by points."""
    if not METRICS[metric].percent:
        return shown(metric, value, signed)
    return shown(metric, value, signed).removesuffix("%") + " points"


def _words(name: str) -> str:
    return name.replace("_", " ")


def _list(items: Iterable[str]) -> str:
    found = list(items)
    return found[0] if len(found) == 1 else ", ".join(found[:-1]) + " and " + found[-1] if found else ""


def chance_limits(audited: TaskAudit) -> Mapping[str, float]:
    """Group to the gap that noise alone would make, where it is known."""
    metric = group_metric(audited)
    limits = {}
    for group, found in audited.gaps.items():
        gap = found.get(f"{metric}_difference")
        if gap is not None and gap.more and isinstance(gap.more.get("by_chance"), float):
            limits[group] = gap.more["by_chance"]
    return limits
