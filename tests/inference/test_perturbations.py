"""What images can meet: names, strengths, codecs, attacks; the same for an image alone as in any batch."""

import numpy as np
import pytest
import torch

from auxface.data.random import sample_seeds
from auxface.data.video.h264 import compress_h264
from auxface.errors import InputError
from auxface.inference.perturbations import attack, can_be_attacked, damage_names, damages
from auxface.objectives.classification import row_losses

EIGHT = torch.arange(8)


@pytest.fixture(scope="module")
def images():
    generator = torch.Generator().manual_seed(0)
    smooth = torch.rand(8, 3, 4, 4, generator=generator)
    return (torch.nn.functional.interpolate(smooth, size=32, mode="bicubic").clamp(0, 1) * 255).round().byte()


@pytest.fixture(scope="module")
def labels():
    marks = torch.tensor([[1.0, 0.0]] * 7 + [[torch.nan, torch.nan]])
    return {
        "mood": torch.tensor([0, 1, 2, 0, 1, 2, 0, -1]),
        "forged": torch.tensor([0.0, 1.0] * 3 + [1.0, torch.nan]),
        "has": marks,
    }


def loss(model, images, labels):
    with torch.no_grad():
        logits = model.logits(images.float() / 255)
        parts = [row_losses(task, logits[task.name], labels[task.name]) for task in model.tasks]
    return sum((each * counts).sum() for each, counts in parts)


def test_names_and_sets_are_spelled_out_once_and_a_typo_gets_a_hint():
    assert damage_names(["none"]) == ()
    assert damage_names(["fog", "common", "fog"])[0] == "fog"
    assert len(damage_names(["common"])) == 15
    assert set(damage_names(["all"])) >= {"h264", "jpeg_quality", "resize", "occlusion_eyes", "fgsm", "pgd"}
    with pytest.raises(InputError, match=r"'gausian_noise' is unknown.*did you mean 'gaussian_noise'"):
        damage_names(["gausian_noise"])


def test_every_kind_changes_images_alike_alone_and_in_a_batch(saved, images, labels):
    names = ("gaussian_noise", "resize", "h264", "occlusion_random", "fgsm", "pgd")
    seeds = sample_seeds(0, 0, EIGHT)
    steps = list(damages(names, seeds, severities=(1, 5), model=saved.model, labels=labels))
    assert [step.severity for step in steps if step.name == "h264"] == ["c23", "c40"]
    assert [step.severity for step in steps if step.name == "pgd"] == ["1/255", "2/255", "4/255"]
    for step in steps:
        whole = step.change(images, 0)
        assert whole.dtype == torch.uint8
        assert whole.shape == images.shape
        assert not torch.equal(whole[:7], images[:7]), step.name
        if step.name not in ("fgsm", "pgd"):  # a gradient's last digits depend on the batch
            assert torch.equal(step.change(images[3:5], 3), whole[3:5]), step.name


def test_clips_are_damaged_frame_by_frame_with_one_seed(images):
    clips = images.view(2, 4, 3, 32, 32)
    for step in damages(("gaussian_noise", "h264"), sample_seeds(0, 0, EIGHT[:2]), severities=(3,)):
        assert step.change(clips, 0).shape == clips.shape


def test_h264_keeps_less_at_a_higher_rate_factor_and_odd_sides(images):
    errors = [(compress_h264(images, factor).float() - images.float()).abs().mean() for factor in (0, 23, 40)]
    assert errors[0] < errors[1] < errors[2]
    assert compress_h264(images[:, :, :31, :17], 23).shape == (8, 3, 31, 17)
    with pytest.raises(ValueError, match=r"0\.\.51"):
        compress_h264(images, 52)


@pytest.mark.parametrize("name", ["fgsm", "pgd"])
def test_an_attack_raises_the_loss_within_its_bound_and_leaves_the_unlabeled_alone(saved, images, labels, name):
    model, seeds = saved.model, sample_seeds(0, 0, EIGHT)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    losses = [loss(model, images, labels)]
    with torch.inference_mode():  # as scoring runs
        for bound in (1, 4):
            found = attack(model, images, labels, seeds, name=name, bound=bound)
            assert (found.int() - images.int()).abs().max() <= bound
            losses.append(loss(model, found, labels))
    assert losses[0] < losses[1] < losses[2]
    if name == "fgsm":
        assert torch.equal(found[7], images[7])
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_pgd_does_at_least_what_noise_of_the_same_size_does(saved, images, labels):
    model, seeds = saved.model, sample_seeds(0, 0, EIGHT)
    noise = torch.randint(-4, 5, images.shape, generator=torch.Generator().manual_seed(1))
    noisy = (images.int() + noise).clamp(0, 255).byte()
    found = attack(model, images, labels, seeds, name="pgd", bound=4)
    assert loss(model, found, labels) > loss(model, noisy, labels)
    assert can_be_attacked(model)
    assert not list(damages(("fgsm",), seeds))


def test_a_seed_repeats_a_random_start(saved, images, labels):
    seeds = sample_seeds(5, 0, EIGHT)
    one, two = (attack(saved.model, images, labels, seeds, name="pgd", bound=2) for _ in range(2))
    assert np.array_equal(one.numpy(), two.numpy())
