"""Where an encoder of clips can start from: VideoMAE of transformers, and weights of images, inflated."""

import pytest
import safetensors.torch
import timm
import torch

from auxface.encoders import build_encoder
from auxface.errors import InputError
from auxface.model import JointModel
from auxface.model.save_mae import save_videomae, save_vitmae
from auxface.model.weights import load_initial_weights
from auxface.objectives import Batch, LearnedTask, StepContext
from auxface.recipe import Encoder, Recipe, ReconstructionOptions

TASKS = (LearnedTask("forged", "binary", ("real", "fake")),)
SIZES = {"image_size": 32, "patch_size": 8, "width": 48, "depth": 2, "heads": 4}
CLIP = Encoder(name="videomae_tiny", num_frames=4, **SIZES)
IMAGE = Encoder(**SIZES)


def joint(encoder, seed=0, **auxiliary):
    options = {"decoder_width": 24, "decoder_depth": 1, "decoder_heads": 4, "target": "rgb"} | auxiliary
    model = JointModel(Recipe(seed=seed, auxiliary=ReconstructionOptions(**options), encoder=encoder), TASKS)
    torch.manual_seed(5)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad and parameter.ndim == 1:
                parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


def videomae_config(transformers, **changes):
    config = {"image_size": 32, "patch_size": 8, "num_frames": 4, "tubelet_size": 2, "hidden_size": 48}
    config |= {"num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 192, "layer_norm_eps": 1e-6}
    config |= {"decoder_hidden_size": 24, "decoder_num_hidden_layers": 1, "decoder_num_attention_heads": 4}
    return transformers.VideoMAEConfig(**config | {"decoder_intermediate_size": 96} | changes)


def shaken(model):
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


@pytest.mark.parametrize("kind", ["VideoMAEForPreTraining", "VideoMAEModel", "VideoMAEForVideoClassification"])
def test_an_encoder_starts_from_a_public_videomae(kind, tmp_path):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(2)
    mean = kind == "VideoMAEForVideoClassification"
    theirs = shaken(getattr(transformers, kind)(videomae_config(transformers, use_mean_pooling=mean)))
    theirs.save_pretrained(tmp_path / "theirs")
    encoder = build_encoder(CLIP).eval()
    load_initial_weights(encoder, tmp_path / "theirs")
    clips = torch.rand(2, 4, 3, 32, 32)
    seen = (clips - encoder.mean) / encoder.std
    with torch.inference_mode():
        features = encoder(clips)
        if mean:
            logits = torch.nn.functional.linear(features.pooled, theirs.classifier.weight, theirs.classifier.bias)
            torch.testing.assert_close(logits, theirs(seen).logits, rtol=1e-4, atol=1e-4)
        else:
            inner = theirs if kind == "VideoMAEModel" else theirs.videomae
            torch.testing.assert_close(features.tokens, inner(seen).last_hidden_state, rtol=1e-4, atol=1e-4)


def test_transformers_reads_save_videomae_with_the_same_loss(tmp_path):
    transformers = pytest.importorskip("transformers")
    ours = joint(CLIP, normalize_target=True, masking="tube")
    save_videomae(ours, tmp_path / "out")
    theirs, report = transformers.VideoMAEForPreTraining.from_pretrained(tmp_path / "out", output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    clean = torch.randint(0, 256, (2, 4, 3, 32, 32), generator=torch.Generator().manual_seed(7)).to(torch.uint8)
    batch = Batch(primary=clean.float() / 255, clean=clean, labels={}, seeds=torch.arange(2))
    auxiliary = ours.auxiliaries["reconstruction"]
    loss, _ = auxiliary(ours.encoder, batch, StepContext(ours.encoder, batch.primary))
    mask = auxiliary.mask(ours.encoder, batch).boolean()
    output = theirs.eval()((batch.primary - ours.encoder.mean) / ours.encoder.std, bool_masked_pos=mask)
    torch.testing.assert_close(loss, output.loss, rtol=1e-5, atol=1e-5)


def test_only_a_videomae_can_be_written(tmp_path):
    with pytest.raises(InputError, match="is an image encoder; VideoMAE"):
        save_videomae(joint(IMAGE), tmp_path / "out")
    with pytest.raises(InputError, match="reconstructs only RGB"):
        save_videomae(joint(CLIP, target="lbp_top"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("source", ["auxface", "transformers", "timm"])
def test_weights_of_images_are_inflated(source, tmp_path):
    images = joint(IMAGE, seed=1)
    if source == "auxface":
        images.save_pretrained(tmp_path / "start")
    elif source == "transformers":
        save_vitmae(images, tmp_path / "start")
    else:
        (tmp_path / "start").mkdir()
        weights = {name: value.clone() for name, value in images.encoder.vit.state_dict().items()}
        safetensors.torch.save_file(weights, tmp_path / "start" / "model.safetensors")
    clip = CLIP.model_copy(update={"init_from": str(tmp_path / "start")})
    encoder, vit = joint(clip).encoder, images.encoder.vit
    load_initial_weights(encoder, tmp_path / "start")
    frame = torch.rand(2, 3, 32, 32)
    with torch.inference_mode():
        # A clip that stands still is embedded as its image is; positions are the clip's own.
        still = encoder.embed(frame.unsqueeze(1).expand(-1, 4, -1, -1, -1)) - encoder.positions
        embedded = vit.patch_embed((frame - encoder.mean) / encoder.std)
        torch.testing.assert_close(still[:, :16], embedded, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(still[:, 16:], embedded, rtol=1e-4, atol=1e-5)
        tokens = torch.randn(2, 7, 48)
        torch.testing.assert_close(encoder.norm(encoder.blocks(tokens)), vit.norm(vit.blocks(tokens)))
    assert torch.equal(encoder.pooled_norm.weight, vit.norm.weight)


def test_patches_are_resampled_before_they_are_inflated(tmp_path):
    larger = build_encoder(Encoder(**SIZES | {"patch_size": 16}))
    safetensors.torch.save_file(
        {name: value.clone() for name, value in larger.vit.state_dict().items()}, tmp_path / "large.safetensors"
    )
    encoder = build_encoder(CLIP)
    load_initial_weights(encoder, tmp_path / "large.safetensors")
    resampled = timm.layers.patch_embed.resample_patch_embed(larger.vit.patch_embed.proj.weight.detach(), [8, 8])
    torch.testing.assert_close(encoder.patches.weight.sum(dim=2), resampled)


def test_a_video_model_initializes_another(tmp_path):
    first = joint(CLIP, seed=1)
    first.save_pretrained(tmp_path / "first")
    second = joint(CLIP.model_copy(update={"init_from": str(tmp_path / "first"), "num_frames": 8}), seed=2)
    load_initial_weights(second.encoder, tmp_path / "first")
    assert torch.equal(first.encoder.patches.weight, second.encoder.patches.weight)
    assert second.encoder.grid == (4, 4, 4)


def test_what_does_not_fit_is_named(tmp_path):
    joint(CLIP).save_pretrained(tmp_path / "clips")
    with pytest.raises(InputError, match="contains weights of a video encoder, but the recipe has an image encoder"):
        load_initial_weights(build_encoder(IMAGE), tmp_path / "clips")
    with pytest.raises(
        InputError, match=r"with a different shape: 'patches.weight' is 48x3x2x8x8, expected 48x3x4x8x8"
    ):
        load_initial_weights(build_encoder(CLIP.model_copy(update={"tubelet_size": 4})), tmp_path / "clips")
    with pytest.raises(InputError, match=r"missing: blocks\.2"):
        load_initial_weights(build_encoder(CLIP.model_copy(update={"depth": 3})), tmp_path / "clips")
