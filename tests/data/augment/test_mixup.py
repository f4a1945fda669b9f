"""Mixup and CutMix: partners, weights, repeatability, and the loss of mixed labels."""

import pytest
import torch
from torch.nn import functional

from auxface.data.augment.mixup import Mixed, cutmix, mix, mixup
from auxface.encoders import build_encoder
from auxface.objectives import Batch, Classification, LearnedTask, StepContext
from auxface.recipe import Encoder


@pytest.fixture
def constant():
    """Return eight constant images of different values, so that each pixel shows its origin."""
    return (torch.arange(8) / 8)[:, None, None, None].expand(8, 3, 16, 16).contiguous()


def test_mixup_is_a_weighted_mean_with_the_partner(constant):
    mixed = mixup(constant, 3, alpha=0.8)
    assert sorted(mixed.partner.tolist()) == list(range(8))
    expected = mixed.weight * constant[:, 0, 0, 0] + (1 - mixed.weight) * constant[mixed.partner, 0, 0, 0]
    assert torch.allclose(mixed.primary, expected[:, None, None, None].expand_as(constant))


def test_mixup_weights_follow_the_beta_distribution():
    weight = mixup(torch.zeros(20_000, 3, 1, 1), 0, alpha=0.4).weight.double()
    assert weight.mean() == pytest.approx(0.5, abs=0.01)
    # Var of Beta(a, a) is 1 / (4 (2a + 1)).
    assert weight.var() == pytest.approx(1 / (4 * 1.8), rel=0.02)


def test_cutmix_pastes_a_box_and_counts_its_pixels(constant):
    for seed in range(20):
        mixed = cutmix(constant, seed)
        for row in range(8):
            own = mixed.primary[row, 0] == constant[row, 0]
            theirs = mixed.primary[row, 0] == constant[mixed.partner[row], 0]
            assert bool((own | theirs).all())
            if mixed.partner[row] == row:
                continue
            assert mixed.weight[row] == pytest.approx(own.float().mean().item(), abs=1e-6)
            rows, columns = theirs.any(1), theirs.any(0)
            assert torch.equal(theirs, rows[:, None] & columns[None, :])
            assert torch.equal(mixed.primary[row, 0], mixed.primary[row, 2])


def test_mixing_is_off_by_default_and_repeatable(constant):
    seeds = torch.arange(8) + 77
    assert mix(constant, seeds, mixup_alpha=0, cutmix_alpha=0) is None
    first, second = (mix(constant, seeds, mixup_alpha=0.2, cutmix_alpha=1.0) for _ in range(2))
    assert first is not None
    assert second is not None
    assert torch.equal(first.primary, second.primary)
    pasted = 0
    for start in range(0, 4000, 20):
        drawn = mix(constant, seeds + start, mixup_alpha=1.0, cutmix_alpha=1.0)
        assert drawn is not None
        pasted += bool(torch.isin(drawn.primary, constant).all())
    assert 70 < pasted < 130
    with pytest.raises(ValueError, match="alpha"):
        mixup(constant, 0, alpha=-1)


@pytest.mark.parametrize("kind", ["class", "binary", "multilabel"])
def test_the_loss_is_weighted_as_the_images_are(kind):
    torch.manual_seed(0)
    encoder = build_encoder(Encoder(image_size=16, patch_size=8, width=16, depth=1, heads=2)).eval()
    task = LearnedTask("t", kind, ("a", "b", "c") if kind != "binary" else ("a", "b"))
    head = Classification([task], encoder.width)
    primary = torch.rand(4, 3, 16, 16)
    labels = {
        "class": torch.tensor([0, 2, 1, -1]),
        "binary": torch.tensor([0.0, 1.0, 1.0, float("nan")]),
        "multilabel": torch.tensor([[0, 1, 1], [1, 0, float("nan")], [1, 1, 1], [0, 0, 0]], dtype=torch.float32),
    }[kind]
    mixed = Mixed(torch.rand(4, 3, 16, 16), torch.tensor([1, 0, 3, 2]), torch.tensor([0.25, 0.5, 1.0, 0.75]))
    batch = Batch(
        primary=primary, clean=(primary * 255).to(torch.uint8), labels={"t": labels}, seeds=torch.arange(4), mixed=mixed
    )
    features = head.encode(batch, StepContext(encoder, batch.primary))
    loss = head(features.pooled, batch).loss
    logits = head.logits(encoder(mixed.primary).pooled)["t"]
    total, counted = 0.0, 0
    for row in range(4):
        for column in range(logits.shape[1] if kind == "multilabel" else 1):
            pair = []
            for at, weight in ((row, mixed.weight[row]), (int(mixed.partner[row]), 1 - mixed.weight[row])):
                if kind == "class":
                    known = labels[at] >= 0
                    value = functional.cross_entropy(logits[row], labels[at]) if known else 0.0
                else:
                    truth = labels[at] if kind == "binary" else labels[at, column]
                    known = not truth.isnan()
                    value = functional.binary_cross_entropy_with_logits(logits[row, column], truth) if known else 0.0
                pair.append((bool(known), weight * value))
            total += sum(value for _, value in pair)
            counted += any(known for known, _ in pair)
    assert loss.item() == pytest.approx(float(torch.as_tensor(total).detach()) / counted, rel=1e-5)
    assert torch.equal(StepContext(encoder, batch.primary).embedding(), encoder.embed(primary))
