"""Inputs, targets and fusion: what each switch changes, and what it must not."""

import copy

import pytest
import torch

from auxface import texture
from auxface.errors import InputError
from auxface.model import JointModel
from auxface.objectives import Batch, LearnedTask
from auxface.objectives.batch import texture_image
from auxface.recipe import Encoder, Recipe, ReconstructionOptions, TextureInput, load_recipe, recipe_names

ENCODER = Encoder(image_size=32, patch_size=8, width=32, depth=1, heads=4)
TASKS = [LearnedTask("t", "class", ("a", "b"))]
SHRUNK = [
    "encoder.name=vit_tiny_patch16_224",
    "encoder.image_size=32",
    "encoder.width=32",
    "encoder.depth=1",
    "encoder.heads=4",
]
DECODER = ["auxiliary.decoder_width=32", "auxiliary.decoder_depth=1", "auxiliary.decoder_heads=4"]


def small(name, *more):
    auxiliary = load_recipe(name).auxiliary is not None
    return JointModel(load_recipe(name, [*SHRUNK, *(DECODER if auxiliary else []), *more]), TASKS)


def joint(**options):
    settings = {name: options.pop(name) for name in ("fusion", "primary", "texture_input") if name in options}
    auxiliary = ReconstructionOptions(decoder_width=32, decoder_depth=1, decoder_heads=4, **options)
    return JointModel(Recipe(auxiliary=auxiliary, encoder=ENCODER, **settings), TASKS)


def batch_of(count=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    clean = torch.randint(0, 256, (count, 3, 32, 32), generator=generator, dtype=torch.uint8)
    return Batch(
        primary=clean.float() / 255, clean=clean, labels={"t": torch.arange(count) % 2}, seeds=torch.arange(count)
    )


def test_a_texture_image_is_the_scalar_map_three_times():
    clean = batch_of().clean
    seen = texture_image(clean.float() / 255, TextureInput(name="local_directional_pattern", parameters={"k": 2}))
    codes = texture.local_directional_pattern(texture.gray(clean), k=2)
    for channel in range(3):
        torch.testing.assert_close(seen[:, channel], codes.float() / 255)


def test_many_maps_are_averaged():
    clean = batch_of().clean
    seen = texture_image(clean.float() / 255, TextureInput(name="local_ternary_pattern"))
    codes = texture.describe(texture.gray(clean), "local_ternary_pattern").float() / 255
    torch.testing.assert_close(seen[:, 0], codes.mean(dim=1))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"name": "local_directional_patern"}, "did you mean 'local_directional_pattern'"),
        ({"name": "histogram_of_oriented_gradients"}, "one value per cell of 8 x 8 pixels"),
        ({"name": "lbp_top"}, "requires video clips"),
        ({"name": "local_binary_pattern", "parameters": {"k": 3}}, "has no parameter 'k'"),
    ],
)
def test_texture_inputs_that_are_no_image_are_refused(settings, sentence):
    with pytest.raises(InputError, match=sentence):
        joint(input="texture", texture_input=TextureInput(**settings))


def test_each_input_is_rgb_or_texture_as_configured():
    """A change of brightness of all pixels by one leaves texture alone and RGB not."""
    dark = batch_of()
    dark.clean.clamp_(0, 250)
    light = Batch(primary=dark.clean.add(1).float() / 255, clean=dark.clean, labels=dark.labels, seeds=dark.seeds)
    dark = Batch(primary=dark.clean.float() / 255, clean=dark.clean, labels=dark.labels, seeds=dark.seeds)
    for name, primary_changes, auxiliary_changes in (
        ("ssat", True, True),
        ("ssat_texture_classifier", False, True),
        ("ssat_texture_auxiliary", True, False),
        ("ssat_texture", False, False),
        ("l_ssat_texture_classifier", False, True),
        ("l_ssat_texture_auxiliary", True, False),
        ("l_ssat_texture", False, False),
    ):
        options = ["texture_input=local_binary_pattern"] if "texture" in name else []
        model = small(name, "balance=0.1", *options)
        logs = [model(batch)[1] for batch in (dark, light)]
        changed = {key.split(".")[0]: bool(logs[0][key] != logs[1][key]) for key in logs[0]}
        assert changed == {"primary": primary_changes, "reconstruction": auxiliary_changes}, name


@pytest.mark.parametrize("name", ["ssat", "ssat_texture", "ssat_texture_classifier"])
def test_one_view_is_embedded_once(name):
    model = small(name)
    calls = 0
    embed = model.encoder.embed

    def counted(images):
        nonlocal calls
        calls += 1
        return embed(images)

    model.encoder.embed = counted
    model(batch_of())
    assert calls == (2 if name == "ssat_texture_classifier" else 1)


@pytest.mark.parametrize("target", ["rgb", "local_directional_pattern", "histogram_of_oriented_gradients"])
@pytest.mark.parametrize("masking", ["random", "block", "textured", "flat"])
def test_predict_all_and_predict_masked_have_the_same_loss(target, masking):
    losses = [joint(target=target, masking=masking, predict=predict)(batch_of())[1] for predict in ("masked", "all")]
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-6, atol=1e-6)


def test_tubes_are_for_clips():
    with pytest.raises(InputError, match="for images, use random"):
        joint(masking="tube")


def test_targets_share_a_decoder_and_are_averaged_by_weight():
    targets = [{"name": "rgb", "weight": 3}, {"name": "local_directional_pattern", "encoding": "bits"}]
    model = joint(target=targets)
    loss, logs, _ = model(batch_of())
    wanted = (3 * logs["reconstruction.rgb"] + logs["reconstruction.local_directional_pattern"]) / 4
    primary = logs["primary.t"]
    torch.testing.assert_close(loss.detach(), 0.1 * primary + 0.9 * wanted)
    assert len(model.auxiliaries["reconstruction"].decoder.predict) == 2


@pytest.mark.parametrize("fusion", ["concat", "gated", "cross_attention"])
def test_fused_scores_are_repeatable_and_use_the_decoder(fusion, tmp_path):
    model = joint(fusion=fusion).eval()
    images = batch_of().primary
    before = model.logits(images)["t"]
    torch.manual_seed(99)
    assert torch.equal(before, model.logits(images)["t"])
    model.save_pretrained(tmp_path / "model")
    again = JointModel.from_pretrained(tmp_path / "model")
    assert again.recipe.fusion == fusion
    assert torch.equal(before, again.logits(images)["t"])
    with torch.no_grad():
        model.auxiliaries["reconstruction"].decoder.embed.weight.mul_(2)
    assert not torch.equal(before, model.logits(images)["t"])


@pytest.mark.parametrize("fusion", ["concat", "gated", "cross_attention"])
def test_the_classifier_trains_every_part_of_the_fusion(fusion):
    model = JointModel(
        Recipe(
            primary_weight=1,
            fusion=fusion,
            auxiliary=ReconstructionOptions(decoder_width=32, decoder_depth=1, decoder_heads=4),
            encoder=ENCODER,
        ),
        TASKS,
    )
    model(batch_of())[0].backward()
    assert all(p.grad is not None for p in model.fusion.parameters())
    assert model.auxiliaries["reconstruction"].decoder.embed.weight.grad is not None
    assert all(p.grad is None for p in model.auxiliaries["reconstruction"].decoder.predict.parameters())


def test_a_saturated_gate_passes_one_side():
    model = joint(fusion="gated")
    pooled, tokens = torch.randn(3, 32), torch.randn(3, 16, 32)
    with torch.no_grad():
        model.fusion.gate.bias.fill_(1e4)
        torch.testing.assert_close(model.fusion(pooled, tokens), pooled)
        model.fusion.gate.bias.fill_(-1e4)
        torch.testing.assert_close(model.fusion(pooled, tokens), model.fusion.project(tokens.mean(dim=1)))


@pytest.mark.parametrize("name", recipe_names())
def test_dropping_the_auxiliaries_changes_no_prediction(name):
    if "video" in name:
        pytest.skip("takes clips")
    model = small(name).eval()
    images = batch_of().primary
    before = model.logits(images)["t"]
    stripped = copy.deepcopy(model)
    kept = {"reconstruction"} if model.recipe.fusion != "none" else set()
    for auxiliary in set(stripped.auxiliaries) - kept:
        del stripped.auxiliaries[auxiliary]
    for part in kept:
        del stripped.auxiliaries[part].decoder.predict
    assert torch.equal(stripped.logits(images)["t"], before)
