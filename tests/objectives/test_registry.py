"""What every registered objective must do."""

import pandas as pd
import pytest
import torch

from auxface.data.augment.views import make_view
from auxface.data.manifest import Label, Manifest
from auxface.encoders import build_encoder
from auxface.errors import InputError
from auxface.objectives import (
    Batch,
    BuildContext,
    LearnedTask,
    Objective,
    ObjectiveSpec,
    PrimaryObjective,
    StepContext,
    TrainingSet,
    TrainProgress,
    check_auxiliaries,
)
from auxface.objectives.registry import available, get, register
from auxface.objectives.resume_only import load_resume_state, resume_state
from auxface.recipe import AuxiliaryOptions, Encoder, Recipe, TextureInput
from auxface.recipe.load import check_recipe
from auxface.recipe.objectives import read_auxiliary

ENCODER = Encoder(image_size=32, patch_size=8, width=32, depth=1, heads=4)
TASKS = (LearnedTask("emotion", "class", ("happy", "sad")),)
COUNT = 12
AUXILIARIES = {name: spec for name, spec in available().items() if spec.role == "auxiliary"}
PRIMARIES = {name: spec for name, spec in available().items() if spec.role == "primary"}
every_auxiliary = pytest.mark.parametrize("spec", AUXILIARIES.values(), ids=AUXILIARIES)
every_primary = pytest.mark.parametrize("spec", PRIMARIES.values(), ids=PRIMARIES)
every_objective = pytest.mark.parametrize("spec", available().values(), ids=available())


def training_set():
    table = pd.DataFrame({"emotion": ["happy", "sad"] * 6, "hat": [0, 0, 1] * 4, "group": list("abcd") * 3})
    manifest = Manifest(table, {"emotion": Label("class", ("happy", "sad")), "hat": Label("binary", ("n", "y"))})
    features = torch.randn(COUNT, 32, generator=torch.Generator().manual_seed(0))
    return TrainingSet(manifest, lambda: features)


def built(spec, encoder=None):
    torch.manual_seed(0)
    encoder = encoder or build_encoder(ENCODER)
    objective = spec.build(spec.options(), BuildContext(encoder, TASKS, TextureInput(), encoder.width))
    objective.before_training(training_set())
    objective.before_epoch(training_set(), 0)
    return encoder, objective


def batch_for(objective, rows=None):
    images = torch.randint(0, 256, (COUNT, 3, 32, 32), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    rows = torch.arange(COUNT) if rows is None else rows
    images, seeds = images[rows], 31 * rows + 7
    return Batch(
        primary=images.float() / 255,
        clean=images,
        labels={"emotion": torch.arange(COUNT)[rows] % 2},
        seeds=seeds,
        indices=rows,
        views={request: make_view(request, images, seeds, 32) for request in objective.views},
    )


def loss_of(encoder, objective, rows=None):
    batch = batch_for(objective, rows)
    context = StepContext(encoder, batch.primary, TrainProgress(3, 10))
    if isinstance(objective, PrimaryObjective):
        return objective(objective.encode(batch, context).pooled, batch)[:2]
    return objective(encoder, batch, context)


@every_objective
def test_the_loss_trains_the_encoder_and_the_objective(spec):
    encoder, objective = built(spec)
    assert isinstance(objective, Objective)
    loss, logs = loss_of(encoder, objective)
    assert loss.shape == ()
    assert torch.isfinite(loss)
    loss.backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in encoder.parameters())
    assert all(p.grad is not None for p in objective.parameters() if p.requires_grad)
    assert logs
    assert all(value.shape == () and not value.requires_grad for value in logs.values())


@every_objective
def test_the_loss_does_not_depend_on_torchs_global_seed(spec):
    encoder, objective = built(spec)
    values = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        before = torch.random.get_rng_state()
        values.append(loss_of(encoder.eval(), objective.eval())[0])
        assert torch.equal(before, torch.random.get_rng_state())
    assert torch.equal(*values)


@every_objective
def test_the_order_of_a_batch_does_not_matter(spec):
    encoder, objective = built(spec)
    order = torch.randperm(COUNT, generator=torch.Generator().manual_seed(3))
    one, two = (loss_of(encoder, objective, rows)[0] for rows in (None, order))
    torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-5)


@every_objective
def test_restored_weights_and_state_give_the_same_loss(spec):
    encoder, objective = built(spec)
    objective.before_epoch(training_set(), 5)
    objective.after_step(encoder, TrainProgress(5, 10))
    _, other = built(spec, encoder)
    other.load_state_dict(objective.state_dict())
    load_resume_state(other, {name: value.clone() for name, value in resume_state(objective).items()})
    assert torch.equal(loss_of(encoder, objective)[0], loss_of(encoder, other)[0])
    assert other.report() == objective.report()


@every_primary
def test_a_primary_gives_logits_embeddings_and_a_figure(spec):
    encoder, primary = built(spec)
    pooled = primary.encode_images(encoder, batch_for(primary).primary).pooled
    logits = primary.logits(pooled)
    assert {name: value.shape for name, value in logits.items()} == {"emotion": (COUNT, 2)}
    assert len(primary.embed(pooled)) == COUNT
    scores = {name: value.detach().numpy() for name, value in logits.items()}
    figure = primary.validation_figure("accuracy", scores, {"emotion": torch.arange(COUNT) % 2})
    assert 0 <= figure <= 1
    assert primary.validation_figure("accuracy", scores, {"emotion": torch.full((COUNT,), -1)}) is None


@every_objective
def test_every_option_is_documented(spec):
    assert [name for name, field in spec.options.model_fields.items() if not field.description] == []


@every_auxiliary
def test_a_misspelled_option_names_the_nearest(spec):
    key = next(iter(spec.options.model_fields))
    with pytest.raises(ValueError, match=rf"did you mean 'auxiliaries\.{spec.name}\.{key}'"):
        read_auxiliary(spec.name, {f"{key}x": 1}, spec.options)


@pytest.mark.parametrize(
    ("auxiliaries", "sentence"),
    [
        ({"cluster_contrst": {}}, "mine.yaml: auxiliaries: unknown objective 'cluster_contrst' .did you mean 'cluster"),
        ({"classification": {}}, "mine.yaml: auxiliaries: classification is a primary objective"),
        ({"cluster_contrast": {"temprature": 1}}, "did you mean 'auxiliaries.cluster_contrast.temperature'"),
        ({"cluster_contrast": {"loss": "one_view"}}, "auxiliaries.cluster_contrast.loss: .*'one_view'"),
        ({"cluster_contrast": 3}, "expected a mapping of options, not 3"),
        ({"reconstruction": {}}, "has its own section, 'auxiliary'"),
    ],
)
def test_a_wrong_auxiliary_is_one_sentence(auxiliaries, sentence):
    with pytest.raises(InputError, match=sentence) as caught:
        check_auxiliaries(check_recipe({"auxiliaries": auxiliaries}, "mine.yaml"), "mine.yaml")
    assert "\n" not in str(caught.value)


class OtherOptions(AuxiliaryOptions):
    """Options of another package."""

    depth: int = 1
    """A number."""


def test_options_of_other_packages_are_checked_by_the_registry(registered):
    recipe = check_recipe({"auxiliaries": {"other": {"depth": 3, "warmup": 0.5}}}, "mine.yaml")
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe
    checked = check_auxiliaries(recipe).auxiliaries["other"]
    assert checked == OtherOptions(depth=3, warmup=0.5)
    wrong = check_recipe({"auxiliaries": {"other": {"dpth": 3}}}, "mine.yaml")
    with pytest.raises(InputError, match=r"mine: auxiliaries: unknown key .*did you mean 'auxiliaries\.other\.depth'"):
        check_auxiliaries(wrong, "mine")


@pytest.fixture
def registered():
    from auxface.objectives.registry import registry

    with registry.isolated():
        register(ObjectiveSpec("other", OtherOptions, lambda options, context: Objective()))
        yield


def test_options_survive_the_resolved_recipe():
    recipe = Recipe.model_validate({"auxiliaries": {"cluster_contrast": {"top_k": 5, "warmup": 0.2}}})
    again = Recipe.model_validate_json(recipe.model_dump_json())
    assert again == recipe
    assert again.auxiliaries["cluster_contrast"].top_k == 5


def test_a_name_is_registered_once():
    with pytest.raises(ValueError, match="another objective is registered as 'reconstruction'"):
        register(ObjectiveSpec("reconstruction", AuxiliaryOptions, lambda options, context: Objective()))
    assert get("reconstruction") is available()["reconstruction"]
