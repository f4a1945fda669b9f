"""The sentence about an auxiliary appears exactly when it is true."""

import json

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from auxface.training.train import train
from auxface.training.training_summary import describe_effect, effect_warnings, last_figures

RATIO, SKILL = "reconstruction.gradient_ratio", "val.reconstruction.skill.rgb"


@pytest.mark.parametrize(
    ("entries", "begin"),
    [
        ([{RATIO: 0.3, SKILL: 0.2}], "The auxiliary affected the encoder"),
        ([{RATIO: 0.04, SKILL: 0.2}], "The auxiliary had almost no effect on the encoder"),
        ([{RATIO: 0.3, SKILL: 0.01}], "The auxiliary did not learn its target"),
        ([{RATIO: 0.3}], "The auxiliary affected the encoder"),
        ([{SKILL: 0.3}], "The auxiliary learned its target"),
        # The first half of the epochs and all but the last skill do not count.
        ([{RATIO: 9.0, SKILL: 0.5}, {RATIO: 0.01}], "The auxiliary had almost no effect on the encoder"),
        ([{RATIO: 0.01, SKILL: -1.0}, {RATIO: 0.2, SKILL: 0.4}], "The auxiliary affected the encoder"),
        ([{RATIO: 0.3, SKILL: 0.0, "val.reconstruction.skill.lbp": 0.1}], "The auxiliary affected the encoder"),
    ],
)
def test_the_sentence_follows_ratio_and_skill(entries, begin):
    assert describe_effect(entries).split(":")[0] == begin


def test_the_sentence_names_its_figures():
    sentence = describe_effect([{RATIO: 0.2, SKILL: 0.5}, {RATIO: 0.4, SKILL: 0.25}])
    assert (
        "the norm of its gradient on the last stage of the encoder was 0.4 times that of the task's gradient"
        in sentence
    )
    assert "0.25 (rgb)" in sentence


def test_each_of_several_auxiliaries_has_a_sentence():
    sentences = describe_effect([{RATIO: 0.2, SKILL: 0.5, "cluster_contrast.gradient_ratio": 0.01}])
    assert "The auxiliary reconstruction affected the encoder: " in sentences
    assert "The auxiliary cluster contrast had almost no effect on the encoder: " in sentences


@pytest.mark.parametrize(
    ("ratio", "skill", "warned"),
    [(0.049, 0.5, ["ratio was 0.049"]), (0.05, 0.02, []), (0.3, 0.019, ["0.019, below 0.02"]), (0.01, 0.0, ["", ""])],
)
def test_a_low_ratio_or_skill_is_warned_about(ratio, skill, warned):
    found = effect_warnings([{RATIO: ratio, SKILL: skill}])
    assert len(found) == len(warned)
    assert all(text in warning for text, warning in zip(warned, found, strict=True))


def test_the_last_figures_are_those_last_measured():
    entries = [{RATIO: 0.2, SKILL: 0.5, "reconstruction.weight": 0.9, "loss": 3.0}, {"reconstruction.weight": 0.8}]
    figures = {"weight": 0.8, "gradient_ratio": 0.2, "val.skill.rgb": 0.5}
    assert last_figures(entries) == {"reconstruction": figures}


def test_a_supervised_run_has_no_such_sentence():
    assert describe_effect([{"primary.emotion": 1.0, "val.balanced_accuracy": 0.5}]) is None


def test_a_run_logs_weight_ratio_cosine_and_skill(tmp_path, sixty, small_settings):
    settings = [*small_settings, "tasks=[emotion]", "balance=gradient", "train.tensorboard=true"]
    warned: list[str] = []
    saved = train("l_ssat", sixty, tmp_path / "run", overrides=settings, device="cpu", warn=warned.append)
    [entry] = map(json.loads, (tmp_path / "run" / "log.jsonl").read_text().splitlines())
    target = "local_binary_pattern_smooth1"
    figures = {"loss", "weight", "weighted", "gradient_ratio", "set_ratio", "cosine", f"skill.{target}"}
    expected = {f"reconstruction.{name}" for name in figures} | {f"val.reconstruction.skill.{target}"}
    assert expected <= entry.keys()
    curves = EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload().Tags()["scalars"]
    assert {f"epoch/{name.replace('.', '/')}" for name in expected} <= set(curves)
    assert saved.config.provenance["auxiliaries"]["reconstruction"].keys() == figures | {f"val.skill.{target}"}
    assert entry[f"reconstruction.skill.{target}"] < 0.5
    sentence = describe_effect([entry])
    assert saved.config.provenance["auxiliary_effect"] == sentence
    card = (tmp_path / "run" / "README.md").read_text()
    assert sentence in card
    assert f"| reconstruction | gradient ratio | {entry['reconstruction.gradient_ratio']:.4g} |" in card
    assert warned == effect_warnings([entry])
    assert "below 0.02" in warned[-1]
