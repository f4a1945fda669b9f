"""The probe on file properties, and the comparison of scores in one format; each sentence appears when it is true."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from auxface.evaluation import Predictions, ScoredTask, audit_tables, compare_formats, compare_probe, probe_files
from auxface.evaluation.report.opening import opening_sentences
from auxface.evaluation.report.property_panels import feature_sentences, file_sentences

TASK = ScoredTask("forged", "binary", ("real", "fake"), {"fake": 0.5})


def scored(truth, noise, seed=0):
    values = truth + np.random.default_rng(seed).normal(0, noise, len(truth))
    frame = pd.DataFrame({"true.forged": truth, "score.forged.fake": 1 / (1 + np.exp(-values))})
    return Predictions(frame.assign(**{"group.sex": np.tile(["F", "M"], len(truth))[: len(truth)]}), (TASK,))


def files(truth, difference, seed):
    """Return file properties; the bytes of the classes differ by ``difference`` standard deviations."""
    generator = np.random.default_rng(seed)
    size = 9000 + 900 * (difference * truth + generator.normal(size=len(truth)))
    return pd.DataFrame({"bytes": size, "width": 256, "format": "JPEG"})


@pytest.fixture(scope="module")
def truth():
    return np.random.default_rng(1).integers(0, 2, 600)


def probed(truth, difference, noise=1.0):
    """Return an audit with the probe on files whose classes differ by ``difference``."""
    table = scored(truth, noise)
    audit = audit_tables({"ours": table}, resamples=200)
    found = audit.models["ours"].tasks["forged"]
    train, labels = files(truth, difference, 2), pd.Series(truth)
    found.file_probe = probe_files(TASK, table, train, labels, files(truth, difference, 3), resamples=200)
    return audit, found


def test_probe_has_the_auc_of_the_property_that_differs(truth):
    _, found = probed(truth, 1.5)
    sizes = files(truth, 1.5, 3)["bytes"]
    assert found.file_probe.value.value == pytest.approx(roc_auc_score(truth, sizes), abs=0.005)
    assert found.file_probe.inputs == ("bytes",)
    assert found.file_probe.model == found.overall["auc"]


@pytest.mark.parametrize(
    ("difference", "sentence", "at_the_top"),
    [
        (2.0, "The properties alone reach at least half of the model's advantage over chance", True),
        (0.4, ", which is better than chance", False),
        (0.0, ", which is not significantly better than chance", False),
    ],
)
def test_sentences_on_the_probe_are_those_that_hold(truth, difference, sentence, at_the_top):
    audit, found = probed(truth, difference, noise=0.6)
    (text,) = file_sentences({"ours": found})
    assert sentence in text
    assert f"reach an AUC of {found.file_probe.value.value:.3f}" in text
    first = opening_sentences(audit, "forged")[0].text
    assert ("File properties alone" in first) == at_the_top


def test_classes_are_probed_by_balanced_accuracy():
    generator = np.random.default_rng(0)
    label = generator.choice(["a", "b", "c"], 600)
    scores = {f"score.t.{name}": np.full(600, 1 / 3) for name in "abc"}
    table = Predictions(pd.DataFrame({"true.t": label} | scores), ())
    own = pd.DataFrame({"format": np.where(label == "a", "PNG", "JPEG"), "jpeg_quality": np.nan})
    probe = probe_files(ScoredTask("t", "class", ("a", "b", "c")), table, own, pd.Series(label), own, resamples=100)
    assert (probe.metric, probe.chance) == ("balanced_accuracy", pytest.approx(1 / 3))
    # All of class a, and one of the two classes that have the other format.
    assert probe.value.value == pytest.approx(2 / 3, abs=0.01)


def test_nothing_is_probed_without_properties_or_classes(truth):
    table = scored(truth, 1.0)
    constant = pd.DataFrame({"bytes": np.full(600, 7), "format": "PNG"})
    assert probe_files(TASK, table, constant, pd.Series(truth), constant) is None
    own = files(truth, 1, 2)
    assert probe_files(TASK, table, own, pd.Series(np.zeros(600)), own) is None


def test_formats_are_compared_on_the_same_samples(truth):
    before, after = scored(truth, 0.5), scored(truth, 2.0, seed=5)
    found = compare_formats(TASK, before, after, "JPEG of quality 75", resamples=500)
    one, other = (roc_auc_score(truth, table.frame["score.forged.fake"]) for table in (before, after))
    assert found.before.value == pytest.approx(one)
    assert found.difference.value == pytest.approx(other - one)
    assert found.difference.low < found.difference.value < found.difference.high < 0
    assert found.lost == pytest.approx((one - other) / (one - 0.5))
    audited = audit_tables({"ours": before}, resamples=100).models["ours"].tasks["forged"]
    audited.same_format = found
    (text,) = file_sentences({"ours": audited})
    assert f"{found.lost:.0%} of the AUC's margin over 0.5 is lost" in text
    audited.same_format = compare_formats(TASK, before, before, "JPEG of quality 75", resamples=100)
    (text,) = file_sentences({"ours": audited})
    assert "not significant" in text
    assert "is lost" not in text


@pytest.mark.parametrize(
    ("own", "other", "sentence", "at_the_top"),
    [
        (0.5, 1.5, "The lead of ours over the probe, +", False),
        (1.5, 0.5, "ours is worse than the probe; the difference is \u2212", True),
        (1.0, 1.02, "is not significant: there is no evidence", True),
    ],
)
def test_sentences_on_the_lead_over_a_probe_hold(truth, own, other, sentence, at_the_top):
    table = scored(truth, own)
    score = scored(truth, other, seed=7).frame["score.forged.fake"].to_numpy()
    audit = audit_tables({"ours": table}, resamples=200)
    found = audit.models["ours"].tasks["forged"]
    probe = found.feature_probe = compare_probe(TASK, table, np.stack([1 - score, score], axis=1), ("HOG",))
    ours, theirs = (roc_auc_score(truth, one) for one in (table.frame["score.forged.fake"], score))
    assert probe.lead.value == pytest.approx(ours - theirs)
    assert probe.is_exceeded == (own == 0.5)
    assert probe.lead.low < probe.lead.value < probe.lead.high
    (text,) = feature_sentences({"ours": found})
    assert sentence in text
    assert ("is significant" in text) == probe.is_exceeded
    first = opening_sentences(audit, "forged")[0].text
    assert ("not significantly better than logistic regression on fixed features" in first) == at_the_top


def test_a_probe_at_chance_is_named_as_such(truth):
    table = scored(truth, 0.5)
    audited = audit_tables({"ours": table}, resamples=100).models["ours"].tasks["forged"]
    noise = np.random.default_rng(3).random(len(truth))
    audited.feature_probe = compare_probe(TASK, table, np.stack([1 - noise, noise], axis=1), ("HOG",))
    assert "which is not significantly better than chance" in feature_sentences({"ours": audited})[0]
    first, second = feature_sentences({"ours": audited, "theirs": audited})
    assert first.startswith("The probe (HOG) reaches")
    assert second.startswith("The lead of theirs over the probe")


def test_a_file_probe_at_chance_is_described_once(truth):
    _, found = probed(truth, 0.0)
    (text,) = file_sentences({"ours": found, "theirs": found})
    value = f"{found.file_probe.model.value:.3f}"
    assert text.endswith(f"than chance; ours reaches {value} and theirs reaches {value}.")
