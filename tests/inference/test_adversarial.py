"""Adversarial attacks: stronger than noise, within their bound, repeatable."""

import numpy as np
import pytest
import torch

from auxface.data.random import sample_seeds
from auxface.inference.perturbations import attack, can_be_attacked
from auxface.objectives.classification import sample_losses

EIGHT = torch.arange(8)


def loss(model, images, labels):
    with torch.no_grad():
        logits = model.logits(images.float() / 255)
        parts = [sample_losses(task, logits[task.name], labels[task.name]) for task in model.tasks]
    return sum((each * counts).sum() for each, counts in parts)


@pytest.mark.parametrize("name", ["fgsm", "pgd"])
def test_attack_raises_the_loss_within_its_bound(saved, eight_images, eight_labels, name):
    model, seeds = saved.model, sample_seeds(0, 0, EIGHT)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    losses = [loss(model, eight_images, eight_labels)]
    with torch.inference_mode():  # as in scoring
        for bound in (1, 4):
            found = attack(model, eight_images, eight_labels, seeds, name=name, bound=bound)
            assert (found.int() - eight_images.int()).abs().max() <= bound
            losses.append(loss(model, found, eight_labels))
    assert losses[0] < losses[1] < losses[2]
    if name == "fgsm":
        assert torch.equal(found[7], eight_images[7])
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_pgd_raises_the_loss_more_than_noise(saved, eight_images, eight_labels):
    model, seeds = saved.model, sample_seeds(0, 0, EIGHT)
    noise = torch.randint(-4, 5, eight_images.shape, generator=torch.Generator().manual_seed(1))
    noisy = (eight_images.int() + noise).clamp(0, 255).byte()
    found = attack(model, eight_images, eight_labels, seeds, name="pgd", bound=4)
    assert loss(model, found, eight_labels) > loss(model, noisy, eight_labels)
    assert can_be_attacked(model)


def test_same_seed_gives_the_same_attack(saved, eight_images, eight_labels):
    seeds = sample_seeds(5, 0, EIGHT)
    one, two = (attack(saved.model, eight_images, eight_labels, seeds, name="pgd", bound=2) for _ in range(2))
    assert np.array_equal(one.numpy(), two.numpy())
