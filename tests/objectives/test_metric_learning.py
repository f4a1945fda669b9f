"""Metric learning against pytorch-metric-learning, and against the values that follow from the formulas."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from pytorch_metric_learning import losses

from auxface.data.augment.views import make_view
from auxface.data.manifest import Manifest
from auxface.errors import InputError
from auxface.model import JointModel
from auxface.model.saved_model import load_model, save_model
from auxface.objectives import Batch, LearnedTask, MetricLearning, TrainingSet
from auxface.objectives.contrast.nt_xent import nt_xent
from auxface.objectives.metric_learning import MARGINS, SCALES, proxy_loss
from auxface.recipe import Encoder, Primary, Recipe

PEOPLE = LearnedTask("person", "class", ("Ann Lee", "Bo Ek", "Eve Oz"), identity=True)
MOOD = LearnedTask("mood", "class", ("sad", "happy"))
HATS = LearnedTask("hats", "multilabel", ("cap", "beret"))
ORACLES = {
    "cosface": lambda: losses.CosFaceLoss(3, 8),
    "arcface": lambda: losses.ArcFaceLoss(3, 8, margin=math.degrees(0.5)),
    "proxy_anchor": lambda: losses.ProxyAnchorLoss(3, 8),
    "normalized_softmax": lambda: losses.NormalizedSoftmaxLoss(3, 8),
}


def embeddings(count=6, seed=0):
    drawn = torch.randn(count, 8, generator=torch.Generator().manual_seed(seed))
    return F.normalize(drawn, dim=1)


def batch(count=6, **labels):
    clean = torch.randint(0, 256, (count, 3, 32, 32), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    return Batch(primary=torch.zeros(clean.shape), clean=clean, labels=labels, seeds=torch.arange(count))


def small_model(*tasks, auxiliaries=None, **primary):
    encoder = Encoder(image_size=32, patch_size=8, width=32, depth=1, heads=4)
    given = {"auxiliaries": auxiliaries, "primary_weight": 0.5} if auxiliaries else {"primary_weight": 1}
    recipe = Recipe(primary=Primary(kind="metric_learning", **primary), encoder=encoder, **given)
    return JointModel(recipe, tasks)


@pytest.mark.parametrize("name", ORACLES)
def test_losses_and_gradients_are_those_of_the_library(name):
    oracle, rows, labels = ORACLES[name](), embeddings().requires_grad_(), torch.tensor([0, 1, 2, 0, 1, 1])
    weights = oracle.proxies if name == "proxy_anchor" else oracle.W
    wanted = oracle(rows, labels)
    wanted_gradients = torch.autograd.grad(wanted, (rows, weights))
    proxies = (weights if name == "proxy_anchor" else weights.T).detach().clone().requires_grad_()
    found = proxy_loss(name, rows, labels, proxies, margin=MARGINS[name], scale=SCALES[name]).mean()
    gradients = torch.autograd.grad(found, (rows, proxies))
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(gradients[0], wanted_gradients[0])
    other = wanted_gradients[1] if name == "proxy_anchor" else wanted_gradients[1].T
    torch.testing.assert_close(gradients[1], other)


def test_cosface_of_orthogonal_proxies_has_its_known_value():
    proxies = torch.eye(11)[:10]
    found = proxy_loss("cosface", torch.eye(11)[10:], torch.tensor([3]), proxies, margin=0.4, scale=1.0)
    assert found.item() == pytest.approx(math.log(1 + 9 * math.exp(0.4)), abs=1e-5)
    assert found.item() == pytest.approx(2.66906, abs=1e-5)


@pytest.mark.parametrize("name", ["cosface", "arcface", "normalized_softmax"])
def test_equal_cosines_without_margin_have_the_loss_of_chance(name):
    found = proxy_loss(name, embeddings(4), torch.tensor([0, 1, 2, 3]), torch.ones(5, 8), margin=0.0, scale=7.0)
    torch.testing.assert_close(found, torch.full((4,), math.log(5)), atol=1e-4, rtol=0)


def test_attributes_without_scale_have_the_loss_of_chance():
    objective = MetricLearning([HATS], 16, Primary(kind="metric_learning"))
    objective.proxies[0].scale = 0.0
    labels = torch.randint(0, 2, (6, 2)).float()
    assert objective(torch.randn(6, 16), batch(hats=labels)).loss.item() == pytest.approx(math.log(2), abs=1e-6)


@pytest.mark.parametrize("loss", ORACLES)
def test_a_batch_without_labels_has_loss_0_and_finite_gradients(loss):
    objective = MetricLearning([PEOPLE, HATS], 16, Primary(kind="metric_learning", loss=loss))
    pooled = torch.randn(6, 16, requires_grad=True)
    unknown = batch(person=torch.full((6,), -1), hats=torch.full((6, 2), math.nan))
    found = objective(pooled, unknown)
    found.loss.backward()
    assert found.loss.item() == 0
    gradients = [pooled.grad, *(weight.grad for weight in objective.parameters())]
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize("loss", ORACLES)
def test_images_without_a_label_do_not_change_the_loss(loss):
    objective = MetricLearning([PEOPLE], 16, Primary(kind="metric_learning", loss=loss))
    pooled, people = torch.randn(6, 16), torch.tensor([0, -1, 2, 1, -1, 0])
    known = people >= 0
    alone = Batch(primary=torch.zeros(4, 3, 8, 8), clean=torch.zeros(4, 3, 8, 8), labels={"person": people[known]},
                  seeds=torch.arange(4))  # fmt: skip
    torch.testing.assert_close(objective(pooled, batch(person=people)).loss, objective(pooled[known], alone).loss)


def test_an_exported_model_holds_no_person_and_embeds_the_same(tmp_path):
    model = small_model(PEOPLE, MOOD, loss="arcface")
    save_model(model, tmp_path)
    loaded = load_model(tmp_path)
    images = torch.rand(3, 3, 32, 32)
    torch.testing.assert_close(loaded.model.embed(images), model.eval().embed(images))
    torch.testing.assert_close(loaded.model.logits(images)["mood"], model.logits(images)["mood"])
    assert [task.name for task in loaded.config.tasks] == ["mood"]
    assert "Ann" not in (tmp_path / "config.json").read_text()
    assert not any("identity" in name for name in loaded.model.state_dict())
    assert any("identity" in name for name in model.state_dict())


def test_a_model_of_identities_alone_predicts_nothing(tmp_path):
    save_model(small_model(PEOPLE), tmp_path)
    with pytest.raises(InputError, match="auxface embed"):
        load_model(tmp_path).config.require_tasks(tmp_path)


def test_embeddings_have_unit_length_and_logits_are_scaled_cosines():
    objective = MetricLearning([MOOD], 16, Primary(kind="metric_learning", scale=5))
    pooled = torch.randn(4, 16)
    embedding = objective.embed(pooled)
    torch.testing.assert_close(embedding.norm(dim=1), torch.ones(4))
    wanted = 5 * torch.cosine_similarity(embedding[:, None], objective.proxies[0].vectors[None], dim=2)
    torch.testing.assert_close(objective.logits(pooled)["mood"], wanted)


@pytest.mark.parametrize("view", ["augmented", "clean"])
def test_the_view_of_a_recipe_is_the_one_that_is_learned(view):
    model, labels = small_model(PEOPLE, view=view).eval(), torch.tensor([0, 1, 2, 0, 1, 2])
    shown = batch(person=labels)
    images = shown.primary if view == "augmented" else shown.clean.float() / 255
    wanted = model.primary(model.pooled(images), shown).loss
    torch.testing.assert_close(model(shown).loss, wanted)


def test_a_frozen_encoder_learns_from_the_auxiliary_alone():
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    alone = small_model(PEOPLE, freeze=True)
    alone(batch(person=labels)).loss.backward()
    assert all(weight.grad is None for weight in alone.encoder.parameters())
    assert alone.primary.projection.weight.grad.abs().max() > 0
    joint = small_model(PEOPLE, freeze=True, auxiliaries={"nt_xent": {}})
    views = {request: _view(request) for request in joint.views}
    joint(Batch(**{**vars(batch(person=labels)), "views": views})).loss.backward()
    assert any(weight.grad is not None and weight.grad.abs().max() > 0 for weight in joint.encoder.parameters())
    assert joint.encoder.training


@pytest.mark.parametrize(
    ("name", "options"),
    [("nt_xent", {}), ("lafs", {"prototypes": 32, "head_width": 16, "bottleneck_width": 8, "local_views": 1})],
)
def test_an_auxiliary_of_weight_0_changes_no_gradient(name, options):
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    alone, joint = small_model(PEOPLE), small_model(PEOPLE, auxiliaries={name: {"weight": 0, **options}})
    shared = {key: value for key, value in joint.state_dict().items() if key in alone.state_dict()}
    assert all(torch.equal(value, shared[key]) for key, value in alone.state_dict().items())
    joint.before_training(TrainingSet(Manifest(pd.DataFrame({"path": list("abcdef")}), {}), lambda: torch.empty(0)))
    views = {request: _view(request) for request in joint.views}
    alone(batch(person=labels)).loss.backward()
    joint(Batch(**{**vars(batch(person=labels)), "views": views})).loss.backward()
    own, other = ({key: each.grad for key, each in model.named_parameters()} for model in (joint, alone))
    learned = {key: gradient for key, gradient in other.items() if gradient is not None}
    assert learned
    assert all(torch.equal(gradient, own[key]) for key, gradient in learned.items())
    assert all(gradient is None for key, gradient in own.items() if key not in learned)


def test_the_joint_loss_learns_more_from_few_labels():
    """Five percent of the labels; the views differ in nuisance directions, which only NT-Xent can rule out."""
    for seed in range(3):
        assert _toy_accuracy(seed, weight=1.0) > _toy_accuracy(seed, weight=0.0) + 0.05


def _toy_accuracy(seed, weight, classes=4, count=200, signal=6, nuisance=24):
    """Accuracy on new rows of an encoder trained on Gaussian classes with CosFace and NT-Xent."""
    generator = torch.Generator().manual_seed(seed)
    centers = 1.5 * torch.randn(classes, signal, generator=generator)

    def drawn(labels):
        own = centers[labels] + 0.5 * torch.randn(len(labels), signal, generator=generator)
        return torch.cat([own, 2 * torch.randn(len(labels), nuisance, generator=generator)], dim=1)

    def view(rows):
        changed = rows.clone()
        changed[:, signal:] = 2 * torch.randn(len(rows), nuisance, generator=generator)
        return changed

    torch.manual_seed(seed)
    encoder = torch.nn.Sequential(torch.nn.Linear(signal + nuisance, 32), torch.nn.ReLU(), torch.nn.Linear(32, 16))
    proxies = torch.nn.Parameter(torch.randn(classes, 16))
    labels = torch.randint(0, classes, (count,), generator=generator)
    rows, labeled = drawn(labels), torch.arange(count // 20)
    optimizer = torch.optim.Adam([*encoder.parameters(), proxies], lr=0.01)
    for _ in range(80):
        embedded = F.normalize(encoder(rows[labeled]), dim=1)
        loss = proxy_loss("cosface", embedded, labels[labeled], proxies, margin=0.35, scale=16.0).mean()
        if weight:
            loss = loss + weight * nt_xent(encoder(view(rows)), encoder(view(rows)), 0.2)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    new = torch.randint(0, classes, (1000,), generator=generator)
    with torch.no_grad():
        cosines = F.normalize(encoder(drawn(new)), dim=1) @ F.normalize(proxies, dim=1).T
    return (cosines.argmax(dim=1) == new).float().mean().item()


def test_pretraining_begins_at_the_first_step_of_a_warmup():
    encoder = Encoder(image_size=32, patch_size=8, width=32, depth=1, heads=4)
    auxiliaries = {"nt_xent": {"warmup": 0.5}}
    model = JointModel(Recipe(primary_weight=0, auxiliaries=auxiliaries, encoder=encoder), ())
    views = {request: _view(request) for request in model.views}
    assert model(Batch(**{**vars(batch()), "views": views})).loss > 0


def _view(request):
    images = torch.randint(0, 256, (6, 3, 32, 32), generator=torch.Generator().manual_seed(2), dtype=torch.uint8)
    return make_view(request, images, torch.arange(6), 32)


def test_identity_is_selected_by_pairs_of_people_that_were_not_trained():
    objective = MetricLearning([PEOPLE], 16, Primary(kind="metric_learning"))
    people = torch.tensor([3, 3, 4, 4])
    apart = {"person": np.array([[1, 0], [1, 0.1], [0, 1], [0.1, 1.0]])}
    mixed = {"person": np.array([[1, 0], [0, 1.0], [1, 0], [0, 1.0]])}
    labels = {"person": people}
    assert objective.validation_figure("verification_auc", apart, labels) == 1
    assert objective.validation_figure("recall_at_1", apart, labels) == 1
    assert objective.validation_figure("verification_auc", mixed, labels) == pytest.approx(0.25)
    assert objective.validation_figure("recall_at_1", mixed, labels) == 0
    unknown = {"person": torch.tensor([3, -1, -1, -1])}
    assert objective.validation_figure("verification_auc", apart, unknown) is None


@pytest.mark.parametrize(
    ("task", "options", "sentence"),
    [
        (LearnedTask("age", "ordinal", ("1", "2"), values=(1.0, 2.0)), {}, "'age' is ordinal"),
        (LearnedTask("mood", "class", ("a", "b"), focal_gamma=2), {}, "focal_gamma"),
        (LearnedTask("mood", "class", ("a", "b"), class_weights=(1, 2)), {"loss": "proxy_anchor"}, "class_weights"),
    ],
)
def test_options_that_the_losses_lack_are_refused(task, options, sentence):
    with pytest.raises(InputError, match=sentence):
        MetricLearning([task], 16, Primary(kind="metric_learning", **options))
