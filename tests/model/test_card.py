from auxface.model import JointModel
from auxface.model.card import model_card
from auxface.objectives import LearnedTask
from auxface.recipe import Encoder, Recipe


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
