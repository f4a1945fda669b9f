"""What every registered auxiliary must do."""

import pandas as pd
import pytest
import torch

from auxface.data.augment.views import VIEWS, make_further_views
from auxface.data.manifest import Label, Manifest
from auxface.encoders import build_encoder
from auxface.errors import InputError
from auxface.objectives import AuxiliaryObjective, Batch, Moment, Setting, Task, TrainingSet
from auxface.recipe import Encoder, Recipe, TextureInput
from auxface.recipe.auxiliary import AuxiliaryOptions, Objective, available, get, read_options, register
from auxface.recipe.load import check_recipe

ENCODER = Encoder(image_size=32, patch_size=8, width=32, depth=1, heads=4)
TASKS = (Task("emotion", "class", ("happy", "sad")),)
COUNT = 12
everything = pytest.mark.parametrize("objective", available().values(), ids=available())


def training_set():
    table = pd.DataFrame({"emotion": ["happy", "sad"] * 6, "hat": [0, 0, 1] * 4, "group": list("abcd") * 3})
    manifest = Manifest(table, {"emotion": Label("class", ("happy", "sad")), "hat": Label("binary", ("n", "y"))})
    features = torch.randn(COUNT, 32, generator=torch.Generator().manual_seed(0))
    return TrainingSet(manifest, lambda: features)


def built(objective):
    torch.manual_seed(0)
    encoder = build_encoder(ENCODER)
    module = objective.build(objective.options(), Setting(encoder, TASKS, TextureInput()))
    assert isinstance(module, AuxiliaryObjective)
    module.before_training(training_set())
    module.before_epoch(training_set(), 0)
    return encoder, module


def batch_for(module, rows=None):
    images = torch.randint(0, 256, (COUNT, 3, 32, 32), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    rows = torch.arange(COUNT) if rows is None else rows
    images, seeds = images[rows], 31 * rows + 7
    views = make_further_views(module.views, images, seeds, 32)
    labels = {"emotion": torch.arange(COUNT)[rows] % 2}
    return Batch(images.float() / 255, images, labels, seeds, rows, views)


@everything
def test_the_loss_is_a_finite_scalar_that_teaches_the_encoder_and_every_part(objective):
    encoder, module = built(objective)
    loss, logs = module(encoder, batch_for(module), Moment(3, 10))
    assert loss.shape == ()
    assert torch.isfinite(loss)
    loss.backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in encoder.parameters())
    assert all(p.grad is not None for p in module.parameters() if p.requires_grad)
    assert logs
    assert all(value.shape == () and not value.requires_grad for value in logs.values())


@everything
def test_the_loss_does_not_depend_on_the_state_of_torch(objective):
    encoder, module = built(objective)
    values = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        before = torch.random.get_rng_state()
        values.append(module.eval()(encoder.eval(), batch_for(module), Moment())[0])
        assert torch.equal(before, torch.random.get_rng_state())
    assert torch.equal(*values)


@everything
def test_the_order_of_the_batch_does_not_matter(objective):
    encoder, module = built(objective)
    order = torch.randperm(COUNT, generator=torch.Generator().manual_seed(3))
    one, two = (module(encoder, batch_for(module, rows), Moment())[0] for rows in (None, order))
    torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-5)


@everything
def test_a_second_module_that_takes_over_state_and_weights_gives_the_same_loss(objective):
    encoder, module = built(objective)
    module.before_epoch(training_set(), 5)
    module.after_step(encoder, Moment(5, 10))
    other = objective.build(objective.options(), Setting(encoder, TASKS, TextureInput()))
    other.before_training(training_set())
    other.load_state_dict(module.state_dict())
    if module.state():
        other.load_state({name: value.clone() for name, value in module.state().items()})
    assert torch.equal(module(encoder, batch_for(module), Moment())[0], other(encoder, batch_for(module), Moment())[0])
    assert other.report() == module.report()


@everything
def test_its_views_can_be_made_and_its_options_have_a_sentence(objective):
    assert set(built(objective)[1].views) <= set(VIEWS)
    for name, field in objective.options.model_fields.items():
        assert field.description or name in ("decoder_width", "decoder_depth", "decoder_heads"), name


@everything
def test_a_wrong_option_names_the_nearest(objective):
    key = next(iter(objective.options.model_fields))
    with pytest.raises(ValueError, match=rf"did you mean 'auxiliaries\.{objective.name}\.{key}'"):
        read_options(objective.name, {f"{key}x": 1})


@pytest.mark.parametrize(
    ("auxiliaries", "sentence"),
    [
        ({"cluster_contrst": {}}, "no auxiliary named 'cluster_contrst' .did you mean 'cluster_contrast'"),
        ({"cluster_contrast": {"temprature": 1}}, "did you mean 'auxiliaries.cluster_contrast.temperature'"),
        ({"cluster_contrast": {"loss": "one_view"}}, "auxiliaries.cluster_contrast.loss: .*'one_view'"),
        ({"cluster_contrast": 3}, "expected a mapping of options, not 3"),
        ({"reconstruction": {}}, "section of its own, 'auxiliary'"),
    ],
)
def test_a_wrong_section_is_one_sentence(auxiliaries, sentence):
    with pytest.raises(InputError, match=sentence) as caught:
        check_recipe({"auxiliaries": auxiliaries}, "mine.yaml")
    assert "\n" not in str(caught.value)


def test_options_survive_the_resolved_recipe():
    recipe = Recipe.model_validate({"auxiliaries": {"cluster_contrast": {"top_k": 5, "warmup": 0.2}}})
    again = Recipe.model_validate_json(recipe.model_dump_json())
    assert again == recipe
    assert again.auxiliaries["cluster_contrast"].top_k == 5


def test_a_name_is_given_once():
    with pytest.raises(ValueError, match="registered already"):
        register(Objective("reconstruction", AuxiliaryOptions, lambda options, setting: None))
    assert get("reconstruction") is available()["reconstruction"]
