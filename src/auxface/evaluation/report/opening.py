"""The five opening sentences of the report page: accuracy, certainty, worst group, robustness and excluded samples."""

from dataclasses import dataclass

from auxface.evaluation.compare import Comparison, is_significant
from auxface.evaluation.groups import CROSS
from auxface.evaluation.intervals import Estimate
from auxface.evaluation.metrics import METRICS, PRIMARY, format_value
from auxface.evaluation.report.property_panels import probe_warning
from auxface.evaluation.report.wording import (
    capitalized,
    corruption_title,
    format_difference,
    gap_significance,
    interval_ends,
    interval_text,
    is_attack,
    listed,
    words,
)
from auxface.evaluation.results import Audit, ModelAudit, Severity, TaskAudit


@dataclass(frozen=True)
class Sentence:
    """One of the five opening sentences: the question that the sentence answers, the number shown, and the text."""

    question: str
    figure: str
    text: str


def opening_sentences(audit: Audit, task: str) -> list[Sentence]:
    """Return the five opening sentences for a task; with several models, they describe the best model."""
    name = best_model(audit, task)
    audited = audit.models[name].tasks[task]
    return [
        _how_good(audit, task, name),
        _how_certain(audit, task, name),
        _worst_for(audit, name, audited),
        _how_robust(name, audited),
        _excluded(audit.models[name], audited, name if len(audit.models) > 1 else ""),
    ]


def best_model(audit: Audit, task: str) -> str:
    """Return the name of the model with the best primary metric; in case of a tie, the first such model."""
    found = {name: model.tasks[task] for name, model in audit.models.items() if task in model.tasks}
    best = next(iter(found))
    for name, audited in found.items():
        metric = found[best].primary_metric
        if metric not in audited.overall:
            continue
        value, record = audited.overall[metric].value, found[best].overall[metric].value
        if value is not None and (record is None or METRICS[metric].better(value, record)):
            best = name
    return best


def _how_good(audit: Audit, task: str, name: str) -> Sentence:
    audited = audit.models[name].tasks[task]
    metric = audited.primary_metric
    estimate, title = audited.overall[metric], METRICS[metric].title
    figure = format_value(metric, estimate.value)
    if estimate.value is None:
        return Sentence("How good?", "–", f"The {title} of {name} cannot be measured: {estimate.why}.")
    classes = audited.task.classes
    kind = audited.task.kind if metric == PRIMARY[audited.task.kind] else "other"
    text = {
        "other": f"{name} has {_article(title)} of {figure} on {_counted(audit, estimate)}",
        "class": f"{name} predicts {words(task)} with an accuracy of {figure} on {_counted(audit, estimate)}",
        "binary": (
            f"{name} has an AUC of {figure}: it scores {_article(words(classes[-1]))} sample above "
            f"{_article(words(classes[0]))} one in {100 * estimate.value:.1f}% of all pairs"
            if classes
            else ""
        ),
        "multilabel": f"{name} has a balanced accuracy of {figure}, averaged over {len(classes)} attributes",
        "ordinal": f"{name} has a mean absolute error of {figure} on {_counted(audit, estimate)}",
    }[kind]
    others = [
        f"{other} {format_value(metric, model.tasks[task].overall[metric].value)}"
        for other, model in audit.models.items()
        if other != name and task in model.tasks and metric in model.tasks[task].overall
    ]
    text += f"; {title} of the others: {listed(others)}." if others else "."
    return Sentence("How good?", figure, text + _at_threshold(audited) + _by_video(audited) + probe_warning(audited))


def _article(name: str) -> str:
    return ("an " if name[:1].lower() in "aeiou" else "a ") + name


def _at_threshold(audited: TaskAudit) -> str:
    """Return a sentence on the balanced accuracy of a binary task, or on the accuracy of the most frequent class."""
    if audited.primary_metric != PRIMARY[audited.task.kind]:
        return ""
    if audited.task.kind == "binary" and audited.overall["balanced_accuracy"].value is not None:
        threshold, own = audited.task.threshold(audited.task.classes[1]), audited.task.level_thresholds
        at = f"at a threshold of {threshold:.3g}" if own is None else f"with a threshold for each {words(own.group)}"
        value = format_value("balanced_accuracy", audited.overall["balanced_accuracy"].value)
        return f" Its balanced accuracy {at} is {value}."
    if audited.task.kind == "class" and audited.confusion is not None and audited.confusion.sum():
        share = audited.confusion.sum(axis=1).max() / audited.confusion.sum()
        return (
            " Always predicting the most frequent class would give an accuracy of "
            f"{format_value('accuracy', float(share))}."
        )
    return ""


def _by_video(audited: TaskAudit) -> str:
    metric = audited.primary_metric
    if audited.videos is None or metric not in audited.videos.overall or audited.videos.overall[metric].value is None:
        return ""
    found = audited.videos.overall[metric]
    value = f"{format_value(metric, found.value)}{interval_text(metric, found)}"
    return f" By video, the {METRICS[metric].title} is {value}, on {found.n:,} videos."


def _how_certain(audit: Audit, task: str, name: str) -> Sentence:
    audited = audit.models[name].tasks[task]
    metric = audited.primary_metric
    estimate, title = audited.overall[metric], METRICS[metric].title
    if estimate.low is None or estimate.high is None:
        return Sentence("How certain?", "–", f"No interval can be given for the {title}: {estimate.why}.")
    text = (
        f"The true {title} lies between {format_value(metric, estimate.low)} and "
        f"{format_value(metric, estimate.high)} (95% confidence, from {estimate.clusters:,} {_cluster_name(audit)})."
    )
    pairs = [
        item
        for item in audit.comparisons
        if item.task == task and item.metric == metric and not item.group and name in (item.first, item.second)
    ]
    beaten = [_other(item, name) for item in pairs if is_significant(item)]
    unclear = [_other(item, name) for item in pairs if not is_significant(item)]
    for others, verdict in ((beaten, "significant"), (unclear, "not significant")):
        if others:
            difference, verb = ("difference", "is") if len(others) == 1 else ("differences", "are")
            text += f" The {difference} in {title} from {listed(others)} {verb} {verdict}."
    return Sentence("How certain?", interval_ends(metric, estimate), text)


def _other(item: Comparison, name: str) -> str:
    return item.second if item.first == name else item.first


def _cluster_name(audit: Audit) -> str:
    kinds = audit.method["clusters"]
    names = {"video": "videos", "source": "sources", "row": "samples"}
    return names.get(kinds[0], "clusters") if len(kinds) == 1 else "clusters"


def _counted(audit: Audit, estimate: Estimate) -> str:
    """Return the number of samples as text and, if clusters have several samples, the number of clusters."""
    samples, name = f"{estimate.n:,} samples", _cluster_name(audit)
    return samples if name == "samples" else f"{samples} of {estimate.clusters:,} {name}"


def _worst_for(audit: Audit, name: str, audited: TaskAudit) -> Sentence:
    metric = audited.decision_metric
    question, title = "For whom is it worst?", METRICS[metric].title
    worst = [
        (audited.groups[group][level][metric], group, level)
        for group, found in audited.gaps.items()
        if CROSS not in group
        and (gap := found.get(f"{metric}_difference")) is not None
        and (level := str((gap.more or {}).get("worst", ""))) in audited.groups[group]
    ]
    if not worst:
        return Sentence(question, "–", f"Unknown: no group has two levels in which the {title} can be compared.")
    choose = min if METRICS[metric].higher_is_better else max
    estimate, group, level = choose(worst, key=lambda item: item[0].value or 0.0)
    value = estimate.value
    figure = format_value(metric, value)
    text = (
        f"{name} is worst for {words(group)} {level}, with {_article(title)} of {figure}"
        f"{interval_text(metric, estimate)} on {_counted(audit, estimate)}"
    )
    gap = audited.gaps[group].get(f"{metric}_difference")
    if gap is None or gap.value is None or gap.more is None:
        return Sentence(question, figure, text + ".")
    best = audited.groups[group][str(gap.more["best"])][metric]
    found = f"{format_value(metric, best.value)}{interval_text(metric, best)} on {_counted(audit, best)}"
    text += f"; it is best for {gap.more['best']}, with {found}."
    significance = gap_significance(metric, gap)
    if significance:
        text += f" The gap is {format_difference(metric, gap.value, signed=False)}; {significance}."
    return Sentence(question, figure, text)


def _how_robust(name: str, audited: TaskAudit) -> Sentence:
    metric = audited.decision_metric
    question, title = "How robust?", METRICS[metric].title
    worst = _worst_corruption(audited, metric, attacks=False) or _worst_corruption(audited, metric, attacks=True)
    clean = audited.overall[metric].value
    if worst is None or clean is None or worst[2].value is None:
        return Sentence(question, "–", "Unknown: no predictions on corrupted images were provided.")
    corruption, severity, found = worst
    figure = format_value(metric, found.value)
    tested = [item for item in audited.robustness if is_attack(item) == is_attack(corruption)]
    kind = "attacks" if is_attack(corruption) else "corruptions"
    change = "lowers" if METRICS[metric].higher_is_better else "raises"
    if METRICS[metric].better(clean, worst[2].value):
        text = (
            f"{capitalized(corruption_title(corruption))} {_at(severity)} {change} the {title} of {name} from "
            f"{format_value(metric, clean)} to {figure}{interval_text(metric, found)}"
        )
        text += f", the worst of {len(tested)} {kind} tested." if len(tested) > 1 else "."
    else:
        names = listed(map(corruption_title, tested))
        text = f"None of the {kind} tested ({names}) {change} the {title} of {name}."
    attacked = _worst_corruption(audited, metric, attacks=True)
    if attacked is not None and not is_attack(corruption):
        text += (
            f" The adversarial attack {corruption_title(attacked[0])}, which changes each pixel by at most "
            f"{attacked[1]}, changes the {title} to {format_value(metric, attacked[2].value)}."
        )
    return Sentence(question, figure, text + _widest_gap(audited, metric))


def _at(severity: Severity) -> str:
    return f"at severity {severity}" if isinstance(severity, int) else f"at {severity}"


def _worst_corruption(audited: TaskAudit, metric: str, *, attacks: bool) -> tuple[str, Severity, Estimate] | None:
    """Return the corruption and severity with the worst metric, among attacks or among all others."""
    worst: tuple[str, Severity, Estimate] | None = None
    for corruption, steps in audited.robustness.items():
        if is_attack(corruption) != attacks:
            continue
        for severity, estimates in steps.items():
            found = estimates[metric]
            if found.value is None:
                continue
            if worst is None or METRICS[metric].better(worst[2].value or 0.0, found.value):
                worst = (corruption, severity, found)
    return worst


def _widest_gap(audited: TaskAudit, metric: str) -> str:
    """Return a sentence on the corruption under which the gap of a group widens most."""
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
    title = METRICS[metric].title
    change, group, corruption, severity = max(widened, key=lambda item: item[0])
    before = audited.gaps[group][name].value or 0.0
    if change <= 0:
        return f" No corruption widens the gap in {title} of any group."
    return (
        f" The gap in {title} between the levels of {words(group)} widens most under {corruption_title(corruption)} "
        f"{_at(severity)}: from {format_difference(metric, before, signed=False)} to "
        f"{format_difference(metric, before + change, signed=False)}."
    )


def _excluded(model: ModelAudit, audited: TaskAudit, name: str) -> Sentence:
    question = "What was excluded?"
    counts = {reason: count for reason, count in model.left_out.items() if count}
    if audited.unscored:
        counts["no score"] = audited.unscored
    total = sum(counts.values())
    by = f" by {name}" if name else ""
    if not total and not audited.unlabeled:
        return Sentence(question, "0", f"Nothing: all samples of the table were scored{by}.")
    text = ""
    if total:
        every = model.rows + sum(model.left_out.values())
        found = listed(f"{words(reason)} ({count:,})" for reason, count in counts.items())
        text = f"{total:,} of {every:,} samples were not scored{by}: {found}."
    if audited.unlabeled:
        text += f" {audited.unlabeled:,} samples have no label for this task."
    for metric, estimate in list(audited.counted_as_errors.items())[:1]:
        value = f"{format_value(metric, estimate.value)}{interval_text(metric, estimate)}"
        text += f" If these samples are counted as errors, the {METRICS[metric].title} is {value}."
    return Sentence(question, f"{total or audited.unlabeled:,}", text.strip())
