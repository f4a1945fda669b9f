"""Report panels for weak segments, the probes, the format comparison, and failures to detect."""

from collections.abc import Mapping
from dataclasses import dataclass

from auxface.evaluation.detection_failure import DetectionFailures
from auxface.evaluation.format_control import Probe
from auxface.evaluation.intervals import SIGNIFICANT, Estimate
from auxface.evaluation.metrics import METRICS, format_value
from auxface.evaluation.report.wording import (
    Cell,
    format_difference,
    interval_text,
    listed,
    metric_cell,
    words,
)
from auxface.evaluation.results import TaskAudit
from auxface.evaluation.weak_segments import Segment


@dataclass(frozen=True)
class SegmentRow:
    """A segment: name, samples, clusters, its metric, the metric of the rest, their difference, and the verdict."""

    name: str
    samples: str
    clusters: str
    value: Cell
    rest: Cell
    difference: Cell
    verdict: str


@dataclass(frozen=True)
class SegmentPanel:
    """The weak segments of one model."""

    model: str
    metric: str
    sentence: str
    rows: tuple[SegmentRow, ...]


def segment_panels(found: Mapping[str, TaskAudit]) -> list[SegmentPanel]:
    """Return one panel for each model whose table has properties."""
    panels = []
    for model, audited in found.items():
        own = audited.weak_segments
        if own is not None:
            rows = tuple(_row(own.metric, one) for one in own.segments)
            panels.append(SegmentPanel(model, METRICS[own.metric].title, _sentence(model, audited), rows))
    return panels


def _sentence(model: str, audited: TaskAudit) -> str:
    own = audited.weak_segments
    assert own is not None
    title, confirmed = METRICS[own.metric].title, [one for one in own.segments if one.confirmed]
    text = f"{model}: {own.tried:,} segments of {listed(map(words, own.properties))} were compared on {own.searched}. "
    stated = [f"{words(name)} ({unit})" for name, unit in own.units.items() if words(name) != unit]
    if stated:
        text += f"Units: {', '.join(stated)}. "
    if not own.segments:
        return text + f"None was worse in {title} than all samples by two standard errors, so none was tested."
    few = "The one" if len(own.segments) == 1 else f"The {len(own.segments)}"
    were = "was" if len(own.segments) == 1 else "were"
    text += f"{few} with the strongest evidence of a worse {title} {were} tested on other samples. "
    if not confirmed:
        return text + "None was confirmed."
    worst = confirmed[0]
    size = format_difference(own.metric, abs(worst.difference.value or 0.0), signed=False)
    names = "1 was" if len(confirmed) == 1 else f"{len(confirmed)} were"
    return text + f"{names} confirmed; the strongest evidence is for {words(worst.name)}, {size} worse than the rest."


def _row(metric: str, one: Segment) -> SegmentRow:
    verdict = f"not tested: {one.not_tested}" if one.p_holm is None else f"no, p = {one.p_holm:.2g}"
    if one.confirmed:
        verdict = "yes, p < 0.001" if (one.p_holm or 0.0) < 0.001 else f"yes, p = {one.p_holm:.2g}"
    return SegmentRow(
        words(one.name),
        f"{one.value.n:,}",
        f"{one.value.clusters:,}",
        metric_cell(metric, one.value),
        metric_cell(metric, one.rest),
        _difference(metric, one.difference),
        verdict,
    )


def _difference(metric: str, difference: Estimate) -> Cell:
    if difference.value is None:
        return Cell("–", "", difference.why)
    span = ""
    if difference.low is not None and difference.high is not None:
        span = f"{format_difference(metric, difference.low)} to {format_difference(metric, difference.high)}"
    return Cell(format_difference(metric, difference.value), span, difference.why)


def file_sentences(found: Mapping[str, TaskAudit]) -> list[str]:
    """Return sentences on the file-property probe, and on the AUC of each model on images in a common format.

    A probe that is no better than chance is described once for all models that are evaluated on the same samples.
    """
    sentences: list[str] = []
    at_chance: dict[str, list[str]] = {}
    for model, audited in found.items():
        probe, formats = audited.file_probe, audited.same_format
        if probe is not None and probe.value.value is not None and probe.value.low is not None:
            text = f"File properties alone ({listed(map(words, probe.inputs))}) reach {_reached(probe)}"
            reached = f"{model} reaches {format_value(probe.metric, probe.model.value)}"
            if probe.explains_half:
                text += (
                    f"; {reached}. The properties alone reach at least half of the model's advantage over chance: the "
                )
                text += "model may recognize files rather than their content."
            elif probe.predicts:
                text += (
                    f", which is better than chance; {reached}. The files differ between classes, and the model may "
                    "exploit this."
                )
            else:
                at_chance.setdefault(text, []).append(reached)
                text = ""
            sentences += [text] if text else []
        if formats is not None:
            sentences.append(_format_sentence(model, audited))
    merged = [
        f"{text}, which is not significantly better than chance; {listed(reached)}."
        for text, reached in at_chance.items()
    ]
    return merged + sentences


def feature_sentences(found: Mapping[str, TaskAudit]) -> list[str]:
    """Return a sentence on the probe on frozen features, and one on the lead of each model over it.

    Models that are evaluated on the same samples have the same probe, which is described once.
    """
    sentences: list[str] = []
    described = ""
    for model, audited in found.items():
        probe = audited.feature_probe
        if probe is None or probe.value.value is None or probe.lead.value is None:
            continue
        chance = "" if probe.predicts else ", which is not significantly better than chance"
        about = f"The probe ({words(probe.inputs[0])}) reaches {_reached(probe)}{chance}. "
        text, described = "" if about == described else about, about
        lead = f"{format_difference(probe.metric, probe.lead.value)}{_ends(probe.metric, probe.lead)}"
        if probe.is_exceeded:
            text += f"The lead of {model} over the probe, {lead}, is significant."
        elif probe.lead.high is not None and probe.lead.high < 0:
            text += f"{model} is worse than the probe; the difference is {lead}."
        else:
            text += (
                f"The lead of {model} over the probe, {lead}, is not significant: there is no evidence that what was "
                "learned in training helps."
            )
        sentences.append(text)
    return sentences


def _reached(probe: Probe) -> str:
    value = f"{format_value(probe.metric, probe.value.value)}{interval_text(probe.metric, probe.value)}"
    return f"{_article(METRICS[probe.metric].title)} of {value} on {probe.value.n:,} samples of this split"


def _ends(metric: str, difference: Estimate) -> str:
    if difference.low is None or difference.high is None:
        return ""
    ends = f"{format_difference(metric, difference.low)} to {format_difference(metric, difference.high)}"
    return f" (95% interval {ends})"


def probe_warning(audited: TaskAudit) -> str:
    """Return warnings if file properties explain half of the model's skill, or a feature probe all of it; else ""."""
    text = ""
    files, features = audited.file_probe, audited.feature_probe
    if files is not None and files.explains_half:
        text += f" File properties alone, without the pixels, reach {_reached(files)}."
    if features is not None and features.lead.low is not None and not features.is_exceeded:
        inputs = features.inputs[0]
        text += f" The model is not significantly better than logistic regression on fixed features ({inputs})."
    return text


def _article(title: str) -> str:
    return ("an " if title[:1].lower() in "aeiou" else "a ") + title


def _format_sentence(model: str, audited: TaskAudit) -> str:
    formats = audited.same_format
    assert formats is not None
    before, after, difference = formats.before, formats.after, formats.difference
    if difference.value is None:
        return f"{model}: the AUC on images in one format cannot be compared: {difference.why}."
    text = (
        f"{model}: with all images as {formats.format}, the AUC is {format_value('auc', after.value)}"
        f"{interval_text('auc', after)} instead of {format_value('auc', before.value)}{interval_text('auc', before)}; "
        f"the difference is {format_difference('auc', difference.value)}"
    )
    if difference.low is None or difference.high is None:
        return text + "."
    significant = formats.p is not None and formats.p < SIGNIFICANT and not difference.low <= 0 <= difference.high
    text += f"{_ends('auc', difference)} and {'significant' if significant else 'not significant'}."
    if significant and formats.lost is not None and formats.lost > 0:
        text += f" {formats.lost:.0%} of the AUC's margin over 0.5 is lost when the formats are unified."
    return text


@dataclass(frozen=True)
class FailureRow:
    """The failures to detect among all samples or at one level."""

    name: str
    samples: str
    clusters: str
    failures: str
    cell: Cell


def failure_rows(found: DetectionFailures | None) -> list[FailureRow]:
    """Return one row for all samples and one for each level of each group."""
    if found is None:
        return []
    named = {"all": found.overall} | {
        f"{group} {level}": one for group, levels in found.groups.items() for level, one in levels.items()
    }
    return [
        FailureRow(
            name,
            f"{one.n:,}",
            f"{one.clusters:,}",
            "–" if one.more is None else f"{one.more['failures']:,}",
            metric_cell("false_positive_rate", one),
        )
        for name, one in named.items()
    ]
