"""Perturbations by name and strength: equal for an image alone and in any batch."""

import pytest
import torch

from auxface.data.random import sample_seeds
from auxface.data.video.h264 import compress_h264
from auxface.errors import InputError
from auxface.inference.perturbations import perturbation_names, perturbations

EIGHT = torch.arange(8)


def test_sets_are_expanded_once_and_typos_get_a_hint():
    assert perturbation_names(["none"]) == ()
    assert perturbation_names(["fog", "common", "fog"])[0] == "fog"
    assert len(perturbation_names(["common"])) == 15
    assert set(perturbation_names(["all"])) >= {"h264", "jpeg_quality", "resize", "occlusion_eyes", "fgsm", "pgd"}
    with pytest.raises(InputError, match=r"'gausian_noise' is unknown.*did you mean 'gaussian_noise'"):
        perturbation_names(["gausian_noise"])


def test_perturbation_does_not_depend_on_the_batch(saved, eight_images, eight_labels):
    names = ("gaussian_noise", "resize", "h264", "occlusion_random", "fgsm", "pgd")
    seeds = sample_seeds(0, 0, EIGHT)
    steps = list(perturbations(names, seeds, severities=(1, 5), model=saved.model, labels=eight_labels))
    assert [step.severity for step in steps if step.name == "h264"] == ["c23", "c40"]
    assert [step.severity for step in steps if step.name == "pgd"] == ["1/255", "2/255", "4/255"]
    for step in steps:
        changed = step.apply(eight_images, 0)
        assert changed.dtype == torch.uint8
        assert changed.shape == eight_images.shape
        assert not torch.equal(changed[:7], eight_images[:7]), step.name
        if step.name not in ("fgsm", "pgd"):  # a gradient's last digits depend on the batch
            assert torch.equal(step.apply(eight_images[3:5], 3), changed[3:5]), step.name


def test_clips_are_perturbed_frame_by_frame(eight_images):
    clips = eight_images.view(2, 4, 3, 32, 32)
    for step in perturbations(("gaussian_noise", "h264"), sample_seeds(0, 0, EIGHT[:2]), severities=(3,)):
        assert step.apply(clips, 0).shape == clips.shape


def test_h264_error_grows_with_the_rate_factor(eight_images):
    errors = [
        (compress_h264(eight_images, factor).float() - eight_images.float()).abs().mean() for factor in (0, 23, 40)
    ]
    assert errors[0] < errors[1] < errors[2]
    assert compress_h264(eight_images[:, :, :31, :17], 23).shape == (8, 3, 31, 17)
    with pytest.raises(ValueError, match="between 0 and 51"):
        compress_h264(eight_images, 52)


def test_attacks_without_a_model_are_skipped():
    assert not list(perturbations(("fgsm",), sample_seeds(0, 0, EIGHT)))
