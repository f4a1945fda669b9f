import dataclasses

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from auxface import texture
from auxface.encoders import build_encoder
from auxface.errors import InputError
from auxface.objectives import Batch, Reconstruction, StepContext
from auxface.objectives.reconstruction.targets import (
    PatchTarget,
    activate,
    normalize_patches,
    patchify,
    target_loss,
    unpatchify,
)
from auxface.recipe import Encoder, ReconstructionOptions, Target

MEAN = torch.full((1, 3, 1, 1), 0.5)
STD = torch.full((1, 3, 1, 1), 0.25)


@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 3), st.integers(1, 3), st.integers(1, 4))
def test_unpatchify_undoes_patchify(batch, channels, rows, columns, side):
    maps = torch.rand(batch, channels, rows * side, columns * side)
    patches = patchify(maps, side)
    assert patches.shape == (batch, rows * columns, side * side * channels)
    assert torch.equal(unpatchify(patches, (rows, columns), side), maps)


def test_patches_are_row_major_with_channels_last():
    maps = torch.arange(2 * 4 * 4).view(1, 2, 4, 4)
    second = patchify(maps, 2)[0, 1]
    assert second.tolist() == [2, 18, 3, 19, 6, 22, 7, 23]


def test_rgb_is_standardized():
    clean = torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8)
    wanted = patchify((clean.float() / 255 - 0.5) / 0.25, 4)
    torch.testing.assert_close(PatchTarget(Target(), 4).compute(clean, MEAN, STD), wanted)


@pytest.mark.parametrize("encoding", ["scalar", "bits"])
def test_texture_is_computed_on_the_whole_gray_image(encoding):
    clean = torch.randint(0, 256, (2, 3, 16, 16), dtype=torch.uint8)
    target = Target(name="local_directional_pattern", encoding=encoding)
    codes = texture.local_directional_pattern(texture.gray(clean), k=3)
    if encoding == "scalar":
        maps = codes[:, None].float() / 255
    else:
        maps = torch.stack([(codes.long() >> bit) & 1 for bit in range(8)], dim=1).float()
    found = PatchTarget(target, 8).compute(clean, MEAN, STD)
    assert found.shape == (2, 4, PatchTarget(target, 8).values)
    torch.testing.assert_close(found, patchify(maps, 8))


@pytest.mark.parametrize("size", [32, 256])
def test_targets_of_a_batch_are_those_of_its_images(size):
    """19 images fill no whole number of groups."""
    clean = torch.randint(0, 256, (19, 3, size, size), dtype=torch.uint8)
    places = torch.stack([torch.randperm((size // 16) ** 2)[:3] for _ in range(19)])
    target = PatchTarget(Target(name="local_directional_pattern", encoding="histogram"), 16)
    together = target.compute(clean, MEAN, STD, places)
    alone = [target.compute(clean[n : n + 1], MEAN, STD, places[n : n + 1]) for n in range(19)]
    assert torch.equal(together, torch.cat(alone))


@pytest.mark.parametrize(
    "target",
    [
        Target(),
        Target(name="local_directional_pattern", encoding="bits"),
        Target(name="local_directional_pattern", encoding="histogram"),
        Target(name="gabor_magnitude"),
        Target(name="histogram_of_oriented_gradients"),
    ],
    ids=lambda target: f"{target.name}-{target.encoding}",
)
def test_targets_of_some_places_are_those_rows_of_all(target):
    clean = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8)
    places = torch.tensor([[3, 0], [1, 2], [2, 2]])
    everything = PatchTarget(target, 16).compute(clean, MEAN, STD)
    some = PatchTarget(target, 16).compute(clean, MEAN, STD, places)
    assert torch.equal(some, everything.gather(1, places[..., None].expand(-1, -1, everything.shape[2])))


def test_histogram_targets_sum_to_one_per_patch():
    clean = torch.randint(0, 256, (2, 3, 16, 16), dtype=torch.uint8)
    target = Target(name="local_directional_pattern", encoding="histogram")
    found = PatchTarget(target, 8).compute(clean, MEAN, STD)
    assert found.shape == (2, 4, PatchTarget(target, 8).values)
    torch.testing.assert_close(found.sum(dim=-1), torch.ones(2, 4))


def test_target_losses_equal_torch_and_are_least_at_the_target():
    wanted = torch.rand(2, 3, 6)
    guess = torch.randn(2, 3, 6)
    torch.testing.assert_close(target_loss(guess, wanted, "scalar"), F.mse_loss(guess, wanted))
    bits = (wanted > 0.5).float()
    by_hand = -(bits * guess.sigmoid().log() + (1 - bits) * (1 - guess.sigmoid()).log()).mean()
    torch.testing.assert_close(target_loss(guess, bits, "bits"), by_hand)
    torch.testing.assert_close(target_loss(guess, bits, "bits", bits=3), 3 * by_hand)
    shares = wanted.view(2, 3, 2, 3).softmax(dim=-1)
    perfect = target_loss(shares.log().flatten(-2), shares.flatten(-2), "histogram", maps=2)
    torch.testing.assert_close(perfect, torch.tensor(0.0), atol=1e-6, rtol=0)
    even = target_loss(torch.zeros(2, 3, 6), shares.flatten(-2), "histogram", maps=2)
    torch.testing.assert_close(even, (shares * (3 * shares).log()).sum(dim=-1).mean())
    torch.testing.assert_close(activate(shares.log().flatten(-2), "histogram", 2), shares.flatten(-2))


def test_normalized_patches_have_no_mean_and_unit_variance():
    patches = normalize_patches(torch.rand(2, 3, 64) * 9 + 4)
    torch.testing.assert_close(patches.mean(dim=-1), torch.zeros(2, 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(patches.var(dim=-1), torch.ones(2, 3), atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    "target",
    [
        Target(name="local_directional_patern"),
        Target(name="local_directional_pattern", parameters={"radius": 3}),
        Target(name="histogram_of_oriented_gradients", encoding="bits"),
    ],
)
def test_an_unknown_target_is_an_error_of_one_sentence(target):
    with pytest.raises(InputError, match=r"auxiliary\.target"):
        PatchTarget(target, 8)


def test_a_code_has_as_many_bits_as_its_descriptor_says():
    assert PatchTarget(Target(name="local_binary_pattern", encoding="bits"), 8).bits == 8
    assert PatchTarget(Target(name="local_binary_pattern"), 8).bits == 1


def test_a_coarse_target_is_that_of_the_reduced_image():
    clean = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    coarse = Target(name="local_binary_pattern", encoding="bits", scale=2)
    gray = torch.as_tensor(texture.gray(clean)).float().unsqueeze(1)
    reduced = F.avg_pool2d(gray, 2).round().to(torch.uint8)
    plain = Target(name="local_binary_pattern", encoding="bits")
    expected = PatchTarget(plain, 4).compute(reduced.expand(-1, 3, -1, -1).contiguous(), MEAN, STD)
    torch.testing.assert_close(PatchTarget(coarse, 8).compute(clean, MEAN, STD), expected)
    assert expected.shape[-1] == PatchTarget(coarse, 8).values
    places = torch.tensor([[3, 0], [5, 15]])
    picked = PatchTarget(coarse, 8).compute(clean, MEAN, STD, places)
    torch.testing.assert_close(picked, expected.gather(1, places.unsqueeze(-1).expand(-1, -1, expected.shape[-1])))


def test_a_smooth_target_equals_a_gaussian_filter_of_scipy():
    clean = torch.randint(0, 256, (1, 3, 24, 24), dtype=torch.uint8)
    gray = texture.gray(clean).numpy()[0].astype(float)
    smooth = gaussian_filter(gray, 1.0, mode="nearest", truncate=3.0).round().clip(0, 255).astype("uint8")
    plain = Target(name="local_binary_pattern")
    expected = PatchTarget(plain, 8).compute(torch.from_numpy(smooth).expand(1, 3, 24, 24).contiguous(), MEAN, STD)
    found = PatchTarget(Target(name="local_binary_pattern", smooth=1.0), 8).compute(clean, MEAN, STD)
    assert (found != expected).float().mean() < 0.01


def test_a_scale_that_does_not_divide_the_patch_is_refused():
    with pytest.raises(InputError, match="scale 3 must divide patch_size 8"):
        PatchTarget(Target(name="local_binary_pattern", scale=3), 8)


def test_targets_of_several_scales_have_names_of_their_own():
    targets = ({"name": "local_binary_pattern", "scale": scale, "smooth": 1.5} for scale in (1, 2))
    keys = [target.key for target in ReconstructionOptions(target=list(targets)).target]
    assert keys == ["local_binary_pattern_smooth1_5", "local_binary_pattern_scale2_smooth1_5"]


def test_a_shuffled_target_is_that_of_the_next_face():
    encoder = build_encoder(Encoder(image_size=32, patch_size=8, width=32, depth=1, heads=4))
    options = ReconstructionOptions(decoder_width=16, decoder_depth=1, decoder_heads=2, target="local_binary_pattern")
    model = Reconstruction(options, encoder)
    control = Reconstruction(options.model_copy(update={"shuffle": True}), encoder)
    control.load_state_dict(model.state_dict())
    clean = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8)
    batch = Batch(primary=clean.float() / 255, clean=clean, labels={}, seeds=torch.arange(4))
    other = dataclasses.replace(batch, clean=clean.roll(1, dims=0))
    context = StepContext(encoder, batch.primary)
    assert control(encoder, batch, context)[0] == model(encoder, other, context)[0]
    assert control(encoder, batch, context)[0] != model(encoder, batch, context)[0]
