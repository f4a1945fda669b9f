import math

import pytest
import torch
import torch.nn.functional as F
from torchvision.ops import sigmoid_focal_loss

from auxface.objectives import Batch, LearnedTask, expected_value, probabilities
from auxface.objectives.classification import Classification, make_head, sample_losses, weighted_mean

GENERATOR = torch.Generator().manual_seed(0)
LOGITS = torch.randn(6, 3, generator=GENERATOR)
LABELS = torch.tensor([0, 2, 1, -1, 2, 0])


def test_class_weights_equal_torch():
    task = LearnedTask("t", "class", ("a", "b", "c"), class_weights=(1.0, 4.0, 0.5))
    wanted = F.cross_entropy(LOGITS, LABELS, torch.tensor(task.class_weights), ignore_index=-1)
    torch.testing.assert_close(weighted_mean(*sample_losses(task, LOGITS, LABELS)), wanted)


def test_focal_loss_of_single_labels_equals_its_formula():
    task = LearnedTask("t", "class", ("a", "b", "c"), focal_gamma=2.0)
    each, _ = sample_losses(task, LOGITS, LABELS)
    right = LOGITS.softmax(dim=1)[0, 0]
    torch.testing.assert_close(each[0], -((1 - right) ** 2) * right.log())


def test_focal_loss_of_attributes_equals_torchvision():
    wanted = (torch.rand(6, 3, generator=GENERATOR) > 0.5).float()
    each, _ = sample_losses(LearnedTask("t", "multilabel", ("a", "b", "c"), focal_gamma=1.5), LOGITS, wanted)
    torch.testing.assert_close(each, sigmoid_focal_loss(LOGITS, wanted, alpha=-1, gamma=1.5))


def test_weights_of_attributes_are_of_absence_and_presence():
    task = LearnedTask("t", "multilabel", ("a", "b"), class_weights=(1.0, 2.0, 3.0, 4.0))
    labels = torch.tensor([[0.0, 1.0], [1.0, math.nan]])
    _, counts = sample_losses(task, LOGITS[:2, :2], labels)
    assert counts.tolist() == [[1.0, 4.0], [3.0, 0.0]]


@pytest.mark.parametrize("kind", ["class", "binary", "multilabel", "ordinal"])
def test_unknown_labels_give_zero_loss_and_finite_gradients(kind):
    task = LearnedTask("t", kind, ("1", "2", "3")[: 2 if kind == "binary" else 3], values=(1.0, 2.0, 3.0))
    logits = torch.zeros(4, task.outputs, requires_grad=True)
    labels = torch.full((4,), -1) if kind == "class" else torch.full((4, 3) if kind == "multilabel" else (4,), math.nan)
    loss = weighted_mean(*sample_losses(task, logits, labels))
    loss.backward()
    assert loss.item() == 0
    assert torch.isfinite(logits.grad).all()


AGE = LearnedTask("age", "ordinal", ("10", "20", "30", "40"), values=(10.0, 20.0, 30.0, 40.0))


def test_ordinal_thresholds_stay_ordered():
    head = make_head(AGE, 5)
    torch.nn.init.normal_(head.gaps, std=3)
    logits = head(torch.randn(50, 5) * 4)
    assert logits.shape == (50, 3)
    assert (logits.diff(dim=1) <= 0).all()
    shares = probabilities(AGE, logits, temperature=1.7)
    assert (shares >= 0).all()
    torch.testing.assert_close(shares.sum(dim=1), torch.ones(50))


def test_an_ordinal_prediction_is_the_mean_of_the_values():
    certain = torch.tensor([[50.0, 50.0, -50.0], [-50.0, -50.0, -50.0], [50.0, 0.0, -50.0]])
    torch.testing.assert_close(expected_value(AGE, certain), torch.tensor([30.0, 10.0, 25.0]))


def test_the_ordinal_loss_is_that_of_each_step():
    logits = torch.tensor([[2.0, 0.5, -1.0]])
    each, counts = sample_losses(AGE, logits, torch.tensor([26.0]))
    wanted = torch.stack(
        [-logits[0, 0].sigmoid().log(), -logits[0, 1].sigmoid().log(), -(-logits[0, 2]).sigmoid().log()]
    )
    torch.testing.assert_close(each[0], wanted)
    assert counts.tolist() == [[1.0, 1.0, 1.0]]


def test_an_ordinal_head_learns_a_number():
    torch.manual_seed(0)
    features = torch.randn(200, 4)
    truth = (25 + 8 * features[:, 0]).clamp(10, 40)
    head = make_head(AGE, 4)
    optimizer = torch.optim.Adam(head.parameters(), lr=0.05)
    for _ in range(300):
        optimizer.zero_grad()
        weighted_mean(*sample_losses(AGE, head(features), truth)).backward()
        optimizer.step()
    error = (expected_value(AGE, head(features)) - truth).abs().mean()
    assert error < 0.4 * (truth - truth.median()).abs().mean()


def test_label_smoothing_acts_on_binary_tasks():
    labels = torch.tensor([1.0, 0.0, float("nan")])
    each, counts = sample_losses(LearnedTask("t", "binary", ("no", "yes")), LOGITS[:3, :1], labels, 0.2)
    expected = F.binary_cross_entropy_with_logits(LOGITS[:2, :1], torch.tensor([[0.9], [0.1]]), reduction="none")
    torch.testing.assert_close(each[:2], expected)
    assert counts.flatten().tolist() == [1, 1, 0]


def test_the_primary_loss_is_the_mean_over_tasks():
    tasks = [LearnedTask(name, "class", ("a", "b", "c"), weight=weight) for name, weight in (("s", 1.0), ("t", 3.0))]
    model = Classification(tasks, 5)
    clean = torch.zeros(6, 3, 8, 8, dtype=torch.uint8)
    batch = Batch(primary=clean.float(), clean=clean, labels={"s": LABELS, "t": LABELS.flip(0)}, seeds=torch.arange(6))
    found = model(torch.randn(6, 5, generator=GENERATOR), batch)
    torch.testing.assert_close(found.loss, (found.logs["s"] + 3 * found.logs["t"]) / 4)
