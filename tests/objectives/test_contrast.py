"""Against pytorch-metric-learning and the values that follow from the formulas."""

import math

import pytest
import torch
from pytorch_metric_learning.losses import NTXentLoss, SelfSupervisedLoss, SupConLoss

from auxface.objectives.contrast.cluster_contrast import cross_view, two_view
from auxface.objectives.contrast.nt_xent import nt_xent

SIZES = (3, 3, 2)
CLUSTERS = torch.repeat_interleave(torch.arange(3), torch.tensor(SIZES))
ONE_HOT = torch.eye(3)[CLUSTERS]


def drawn(seed=0, count=8, width=6):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(count, width, generator=generator) for _ in range(2)]


@pytest.mark.parametrize("temperature", [0.07, 0.1, 0.5])
def test_two_view_equals_pytorch_metric_learnings_supcon(temperature):
    first, second = drawn()
    wanted = SupConLoss(temperature=temperature)(torch.cat([first, second]), CLUSTERS.repeat(2))
    torch.testing.assert_close(two_view(first, second, CLUSTERS, temperature), wanted)


def test_two_view_of_images_that_share_no_cluster_is_nt_xent():
    first, second = drawn(1)
    wanted = SelfSupervisedLoss(NTXentLoss(temperature=0.2))(first, second)
    torch.testing.assert_close(two_view(first, second, torch.arange(8), 0.2), wanted)


def test_nt_xent_equals_that_of_two_libraries():
    lightly = pytest.importorskip("lightly.loss")
    first, second = drawn(3)
    found = nt_xent(first, second, 0.2)
    torch.testing.assert_close(found, SelfSupervisedLoss(NTXentLoss(temperature=0.2))(first, second))
    torch.testing.assert_close(found, lightly.NTXentLoss(temperature=0.2)(first, second))


def test_two_view_of_clusters_is_not_nt_xent_with_labels():
    """pytorch-metric-learning's NT-Xent with labels has one positive per denominator."""
    first, second = drawn()
    other = NTXentLoss(temperature=0.2)(torch.cat([first, second]), CLUSTERS.repeat(2))
    assert not torch.allclose(two_view(first, second, CLUSTERS, 0.2), other, rtol=1e-2)


@pytest.mark.parametrize("loss", [two_view, cross_view])
def test_a_batch_of_one_cluster_has_a_finite_gradient(loss):
    first, second = (each.requires_grad_() for each in drawn(5))
    loss(first, second, torch.zeros(8, dtype=torch.long), 0.1).backward()
    assert first.grad.isfinite().all()
    assert second.grad.isfinite().all()


def test_cross_view_without_shared_clusters_is_infonce():
    first, second = (torch.nn.functional.normalize(z, dim=1) for z in drawn(2))
    scores, own = first @ second.T / 0.3, torch.arange(8)
    wanted = (torch.nn.functional.cross_entropy(scores, own) + torch.nn.functional.cross_entropy(scores.T, own)) / 2
    torch.testing.assert_close(cross_view(first, second, own, 0.3), wanted)


def test_equal_embeddings_have_the_loss_of_chance():
    same = torch.ones(8, 5)
    assert two_view(same, same, CLUSTERS, 0.1).item() == pytest.approx(math.log(15), abs=1e-5)
    assert cross_view(same, same, CLUSTERS, 0.1).item() == pytest.approx(math.log(8), abs=1e-5)


@pytest.mark.parametrize(("temperature", "cross", "two"), [(0.1, 0.997337, 1.481845), (0.5, 1.234982, 1.769553)])
def test_perfect_clusters_have_the_analytic_loss(temperature, cross, two):
    assert cross_view(ONE_HOT, ONE_HOT, CLUSTERS, temperature).item() == pytest.approx(cross, abs=1e-5)
    assert two_view(ONE_HOT, ONE_HOT, CLUSTERS, temperature).item() == pytest.approx(two, abs=1e-5)


def test_the_bound_is_the_entropy_of_the_clusters():
    bound = math.log(8) - cross_view(ONE_HOT, ONE_HOT, CLUSTERS, 0.01).item()
    assert bound == pytest.approx(1.0821955, abs=1e-6)


def test_orthogonal_instances_have_the_analytic_loss():
    own = torch.eye(8)
    assert two_view(own, own, torch.arange(8), 0.5).item() == pytest.approx(1.062879, abs=1e-5)


@pytest.mark.parametrize("loss", [two_view, cross_view])
def test_names_of_clusters_and_order_of_samples_do_not_matter(loss):
    first, second = drawn(3)
    wanted = loss(first, second, CLUSTERS, 0.1)
    order = torch.randperm(8, generator=torch.Generator().manual_seed(0))
    renamed = torch.tensor([7, 3, 100])[CLUSTERS]
    torch.testing.assert_close(loss(first[order], second[order], renamed[order], 0.1), wanted)


@pytest.mark.parametrize(("loss", "clusters"), [(two_view, (CLUSTERS,)), (cross_view, (CLUSTERS,)), (nt_xent, ())])
def test_similarities_are_single_precision_under_autocast(loss, clusters):
    first, second = drawn(4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = loss(first, second, *clusters, 0.1)
    assert inside.dtype == torch.float32
    torch.testing.assert_close(inside, loss(first, second, *clusters, 0.1), rtol=0, atol=0)
