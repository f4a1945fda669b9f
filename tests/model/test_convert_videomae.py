"""Clips: the video encoder and its objective against transformers' VideoMAE (a dependency of the tests alone)."""

import pytest
import safetensors.torch
import torch
from torch import nn

from auxface import texture
from auxface.encoders import VideoEncoder, build_encoder, inflate
from auxface.errors import InputError
from auxface.model.convert_mae import from_videomae, to_videomae
from auxface.objectives import Batch, Reconstruction, StepContext
from auxface.recipe import Encoder, ReconstructionOptions, Target

SIZES = {"frames": 4, "tubelet": 2, "image_size": 32, "patch_size": 8, "width": 48, "depth": 2, "heads": 4}


class Clips(nn.Module):
    """An encoder and its objective under the names that they have in a joint model."""

    def __init__(self, **changes):
        super().__init__()
        torch.manual_seed(1)
        options = {"target": (Target(name="rgb"),), "masking": "tube", "mask_ratio": 0.75, "predict": "masked"}
        options |= {"decoder_width": 24, "decoder_depth": 2, "decoder_heads": 4, "normalize_target": True}
        self.encoder = VideoEncoder(**SIZES)
        self.auxiliaries = nn.ModuleDict(
            {"reconstruction": Reconstruction(ReconstructionOptions(**options | changes), self.encoder)}
        )

    def forward(self, batch):
        return self.auxiliaries["reconstruction"](self.encoder, batch, StepContext(self.encoder, batch.primary))[0]


def read_clips(count=2):
    clean = torch.randint(0, 256, (count, 4, 3, 32, 32), generator=torch.Generator().manual_seed(7)).to(torch.uint8)
    return Batch(primary=clean.float() / 255, clean=clean, labels={}, seeds=torch.arange(count))


def videomae(transformers):
    config = {"image_size": 32, "patch_size": 8, "num_frames": 4, "tubelet_size": 2, "hidden_size": 48}
    config |= {"num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 192, "layer_norm_eps": 1e-6}
    config |= {"decoder_hidden_size": 24, "decoder_num_hidden_layers": 2, "decoder_num_attention_heads": 4}
    config |= {"decoder_intermediate_size": 96, "use_mean_pooling": False, "norm_pix_loss": True}
    torch.manual_seed(2)
    model = transformers.VideoMAEForPreTraining(transformers.VideoMAEConfig(**config))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def test_loss_and_gradients_are_those_of_transformers_videomae():
    theirs, ours, batch = videomae(pytest.importorskip("transformers")), Clips(), read_clips()
    missing, unexpected = ours.load_state_dict(from_videomae(theirs.state_dict()), strict=False)
    assert not unexpected
    assert set(missing) == {"encoder.pooled_norm.weight", "encoder.pooled_norm.bias"}
    loss = ours(batch)
    loss.backward()
    mask = ours.auxiliaries["reconstruction"].mask(ours.encoder, batch).boolean()
    assert torch.equal(mask[:, :16], mask[:, 16:])
    output = theirs((batch.primary - ours.encoder.mean) / ours.encoder.std, bool_masked_pos=mask)
    output.loss.backward()
    torch.testing.assert_close(loss, output.loss, rtol=1e-5, atol=1e-5)
    gradients = from_videomae({name: parameter.grad for name, parameter in theirs.named_parameters()})
    compared = {name: p.grad for name, p in ours.named_parameters() if p.grad is not None}
    assert compared.keys() == gradients.keys()
    for name, gradient in compared.items():
        assert (gradient - gradients[name]).abs().max() < 1e-5, name


def test_weights_go_to_transformers_and_back(tmp_path):
    transformers = pytest.importorskip("transformers")
    theirs = videomae(transformers)
    theirs.save_pretrained(tmp_path)
    written = safetensors.torch.load_file(tmp_path / "model.safetensors")
    assert "videomae.encoder.layer.0.attention.attention.q_bias" in written
    ours = Clips()
    ours.load_state_dict(from_videomae(written), strict=False)
    back = to_videomae(ours.state_dict())
    for name in ("fc_norm.weight", "fc_norm.bias"):
        back.pop(name)
    safetensors.torch.save_file(back, tmp_path / "model.safetensors", metadata={"format": "pt"})
    again, report = transformers.VideoMAEForPreTraining.from_pretrained(tmp_path, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    for name, value in theirs.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def test_hidden_pixels_change_nothing():
    ours, batch = Clips(), read_clips()
    mask = ours.auxiliaries["reconstruction"].mask(ours.encoder, batch)
    hidden = mask.boolean().view(2, 2, 4, 4).repeat_interleave(2, 1).repeat_interleave(8, 2).repeat_interleave(8, 3)
    painted = batch.primary.masked_fill(hidden.unsqueeze(2), 0.5)
    seen, same = ours.encoder(batch.primary, mask), ours.encoder(painted, mask)
    assert seen.tokens.shape == (2, 8, 48)
    assert torch.equal(seen.tokens, same.tokens)
    assert not torch.equal(ours.encoder(batch.primary).pooled, ours.encoder(painted).pooled)


@pytest.mark.parametrize("encoding", ["scalar", "bits", "histogram"])
def test_texture_is_rebuilt_frame_by_frame(encoding):
    target = Target(name="local_directional_pattern", encoding=encoding)
    ours, batch = Clips(target=(target,), normalize_target=False), read_clips()
    rebuilt = ours.auxiliaries["reconstruction"].reconstruct(ours.encoder, batch)[0]
    assert rebuilt.target.shape == rebuilt.prediction.shape
    flipped = Batch(primary=batch.primary, clean=batch.clean.flip(1), labels={}, seeds=batch.seeds)
    other = ours.auxiliaries["reconstruction"].reconstruct(ours.encoder, flipped)[0].target
    turned = other.unflatten(1, (2, 16)).flip(1).unflatten(-1, (2, -1)).flip(-2).flatten(-2).flatten(1, 2)
    assert torch.equal(turned, rebuilt.target)
    ours(read_clips()).backward()
    assert ours.encoder.patches.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("encoding", ["scalar", "bits", "histogram"])
def test_three_planes_are_reconstructed_at_their_voxels(encoding):
    ours, batch = Clips(target=(Target(name="lbp_top", encoding=encoding),), normalize_target=False), read_clips()
    wanted = ours.auxiliaries["reconstruction"].reconstruct(ours.encoder, batch)[0].target
    gray = torch.stack([texture.gray(clip) for clip in batch.clean])
    codes = texture.lbp_top(gray)
    # Clip 1, slice 1, patch in row 2 and column 3; in it frame 1, row 5, column 6.
    token, frame = wanted[1, 16 + 2 * 4 + 3], 3
    own = codes[1, :, frame, 16:24, 24:32]
    second = token.view(2, -1)[1]
    if encoding == "scalar":
        assert torch.allclose(second.view(8, 8, 3)[5, 6], own[:, 5, 6].float() / 255)
    elif encoding == "bits":
        bits = second.view(8, 8, 3, 8)[5, 6]
        assert ((bits * 2 ** torch.arange(8)).sum(-1).to(torch.uint8) == own[:, 5, 6]).all()
    else:
        shares = torch.stack([torch.bincount(plane.flatten().long(), minlength=256) for plane in own]) / 64
        assert torch.allclose(second.view(3, 256), shares)
    # What moves changes its planes in time, and the same clip standing still has other codes there.
    still = Batch(
        primary=batch.primary, clean=batch.clean[:, :1].expand(-1, 4, -1, -1, -1), labels={}, seeds=batch.seeds
    )
    other = ours.auxiliaries["reconstruction"].reconstruct(ours.encoder, still)[0].target
    assert not torch.equal(other, wanted)
    ours(read_clips()).backward()
    assert ours.encoder.patches.weight.grad.abs().sum() > 0


def test_an_inflated_embedding_of_a_still_clip_is_the_images():
    image = build_encoder(Encoder(image_size=32, patch_size=8, width=48, depth=1, heads=4)).vit.patch_embed.proj
    clip = VideoEncoder(**SIZES).patches
    clip.load_state_dict({"weight": inflate(image.weight.detach(), 2), "bias": image.bias.detach()})
    frame = torch.randn(1, 3, 32, 32)
    moving = clip(frame.unsqueeze(2).expand(-1, -1, 4, -1, -1))
    torch.testing.assert_close(moving[:, :, 1], image(frame), rtol=1e-4, atol=1e-5)


def test_targets_that_do_not_fit_clips_are_refused():
    with pytest.raises(InputError, match="for video clips, use tube, random or parts"):
        Clips(masking="block")
    with pytest.raises(InputError, match="for video clips, use rgb"):
        Clips(input="texture")
    with pytest.raises(ValueError, match="do not divide clips of 5 x"):
        VideoEncoder(frames=5)
    with pytest.raises(ValueError, match="expected clips"):
        VideoEncoder(**SIZES).embed(torch.zeros(1, 3, 32, 32))
