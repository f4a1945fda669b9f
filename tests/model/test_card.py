import html
from pathlib import Path

import pytest

from auxface.model import JointModel
from auxface.model.card import markdown_text, model_card
from auxface.model.config import Evidence
from auxface.objectives import LearnedTask
from auxface.recipe import Encoder, Recipe, Train
from auxface.serve.page_content import card_page


def test_a_card_shows_the_audits_values_intervals_and_groups():
    recipe = Recipe(primary_weight=1, encoder=Encoder(image_size=16, patch_size=8, width=16, depth=1, heads=4))
    config = JointModel(recipe, [LearnedTask("mood", "class", ("x", "y"))]).default_config()
    accuracy = {"value": 0.75, "low": 0.7, "high": 0.8, "n": 120}
    unmeasured = {"value": None, "why": "one class alone"}
    task = {
        "overall": {"balanced_accuracy": accuracy, "auc": unmeasured},
        "groups": {"age_group": {"young": {}, "old": {}}},
        "gaps": {"age_group": {"accuracy_difference": {"value": 0.1, "low": 0.0, "high": 0.2, "n": 120}}},
    }
    card = model_card(config, {"tasks": {"mood": task}, "left_out": {"no_face": 3, "unreadable": 0}})
    assert "| balanced accuracy | 0.750 (0.700 to 0.800) | 120 |" in card
    assert "| accuracy difference by age group | 0.100 (0.000 to 0.200) | 120 |" in card
    assert "Groups compared: age group (young, old)." in card
    assert "Excluded: no face 3." in card
    assert "auc" not in card
    assert "## Evaluation" not in model_card(config)
    assert "## Evaluation" not in model_card(config, {"models": {"a": {}, "b": {}}})


@pytest.mark.parametrize(("epochs", "text"), [(1, "1 epoch, seed 0."), (3, "3 epochs, seed 0.")])
def test_a_card_states_the_number_of_epochs(epochs, text):
    encoder = Encoder(image_size=16, patch_size=8, width=16, depth=1, heads=4)
    recipe = Recipe(primary_weight=1, encoder=encoder, train=Train(epochs=epochs))
    card = model_card(JointModel(recipe, [LearnedTask("mood", "class", ("x", "y"))]).default_config())
    assert text in card


def test_a_card_names_the_sampled_clips():
    encoder = Encoder(name="videomae_tiny", num_frames=4, image_size=16, width=16, depth=1, heads=4)
    model = JointModel(Recipe(primary_weight=1, encoder=encoder), [LearnedTask("mood", "class", ("x", "y"))])
    config = model.default_config()
    expected = "Clips of 4 frames with a stride of 4, at most 5 per video. RGB faces, 16 by 16 pixels, used as they are"
    assert expected in model_card(config)
    cut = config.model_copy(update={"crop": {"clip": {"length": 4, "stride": 2}}})
    assert "Clips of 4 frames with a stride of 2" in model_card(cut)
    assert "used as they are" in model_card(cut)


def test_a_card_names_the_spectrograms_of_music():
    recipe = Recipe(primary_weight=1, encoder=Encoder(image_size=16, patch_size=8, width=16, depth=1, heads=4))
    config = JointModel(recipe, [LearnedTask("mood", "class", ("x", "y"))]).default_config()
    heard = config.model_copy(update={"crop": {"spectrogram": {"seconds": 4.0, "rate": 16000}}})
    expected = "Log-mel images of excerpts of music, 16 by 16 pixels: seconds 4.0, rate 16000."
    assert expected in model_card(heard)


@pytest.mark.parametrize(
    ("crop", "sentence"),
    [
        (None, "This is face recognition technology. A false match can harm the person who is wrongly matched"),
        ({"spectrogram": {"seconds": 4.0}}, "A high similarity does not prove that two excerpts are from the same"),
    ],
)
def test_a_card_of_identities_states_the_limits_of_recognition(crop, sentence):
    encoder = Encoder(image_size=16, patch_size=8, width=16, depth=1, heads=4)
    recipe = Recipe(primary={"kind": "metric_learning"}, primary_weight=1, encoder=encoder)
    task = LearnedTask("who", "class", ("Ann", "Bo"), identity=True)
    card = model_card(JointModel(recipe, [task]).default_config().model_copy(update={"crop": crop}))
    assert sentence in card
    assert "The model contains no gallery" in card
    assert "Ann" not in card


def test_the_guide_states_the_limits_of_recognition():
    page = (Path(__file__).parents[2] / "docs" / "identity.md").read_text(encoding="utf-8")
    limits = page.partition("## Consent and limits")[2]
    for sentence in ("This is face recognition technology", "A false match can harm", "auxface contains no gallery"):
        assert sentence in limits


HOSTILE = "a|b\n# c <script>x</script> [d](javascript:e) **f** `g` $h$ _i_ &lt; \\"


def test_markdown_text_has_one_line_and_no_markup():
    text = markdown_text(HOSTILE)
    assert not set(text) & set("|\n`*$\\")
    assert "<s" not in text
    assert "](" not in text
    assert html.unescape(text) == HOSTILE.replace("\n", " ")
    assert markdown_text("age_group < 30, Black & White") == "age_group < 30, Black & White"


def test_names_are_escaped_in_a_card():
    recipe = Recipe(
        primary_weight=1, name=HOSTILE, encoder=Encoder(image_size=16, patch_size=8, width=16, depth=1, heads=4)
    )
    config = JointModel(recipe, [LearnedTask(HOSTILE, "class", (HOSTILE, "y"))]).default_config()
    figure = {"value": 0.75, "low": 0.7, "high": 0.8, "n": 120}
    task = {
        "overall": {"accuracy": figure},
        "groups": {HOSTILE: {HOSTILE: {}, "old": {}}},
        "gaps": {HOSTILE: {"accuracy_difference": figure}},
    }
    known = {"data": HOSTILE, HOSTILE: ["x"], "conclusions": [HOSTILE], "auxiliary_effect": HOSTILE}
    known |= {"initial_weights": {"source": HOSTILE, "license": HOSTILE}, "auxiliaries": {HOSTILE: {HOSTILE: 1.0}}}
    report = {"tasks": {HOSTILE: task}, "left_out": {HOSTILE: 3}}
    card = model_card(config.model_copy(update={"provenance": known}), report)
    lines = card.splitlines()
    assert [line for line in lines if line.startswith("#")] == [
        f"# {markdown_text(HOSTILE)}", "## Input", "## Training", "## Evaluation", "## Limits", "## Provenance",
    ]  # fmt: skip
    widths = {line.count("|") for line in lines if "|" in line}
    assert widths == {4}
    assert all(line.startswith("|") and line.endswith("|") for line in lines if "|" in line)
    assert [part for part in ("<script", "</script", "](", "**", "$h") if part in card] == []
    assert card.count("`") == 2
    page = card_page(config.model_copy(update={"provenance": known}), report)
    assert "<script>x" not in page
    assert html.unescape(page).count("a|b # c <script>x</script> [d](javascript:e) **f** ") > 10


def test_a_card_has_no_hints_and_no_precision_of_unpredicted_classes():
    recipe = Recipe(primary_weight=1, encoder=Encoder(image_size=16, patch_size=8, width=16, depth=1, heads=4))
    config = JointModel(recipe, [LearnedTask("mood", "class", ("x", "y"))]).default_config()
    evidence = {
        name: Evidence(auc=0.7, low=low, high=0.9, precision=0.43, n=50, clusters=50)
        for name, low in (("x", 0.65), ("y", 0.5))
    }
    task = config.tasks[0].model_copy(update={"evidence": evidence})
    said = ["mood: validation balanced accuracy 0.700 (n 50).", "Next: evaluate the test split."]
    card = model_card(config.model_copy(update={"tasks": [task], "provenance": {"conclusions": said}}))
    assert "| mood | x | 0.700 (0.650 to 0.900) | 0.43 | 50 | yes |" in card
    assert "| mood | y | 0.700 (0.500 to 0.900) | - | 50 | no |" in card
    assert said[0] in card
    assert "Next:" not in card
