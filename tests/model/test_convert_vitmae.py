"""Converters, and the masked autoencoder against transformers' own (a dependency of the tests alone)."""

import json
import subprocess
import sys

import pytest
import safetensors.torch
import torch

from auxface.encoders import build_encoder, random_mask
from auxface.errors import InputError
from auxface.model import JointModel
from auxface.model.convert_mae import from_vitmae
from auxface.model.save_mae import save_vitmae, vitmae_files
from auxface.model.weights import load_initial_weights
from auxface.objectives import Batch, LearnedTask
from auxface.recipe import Encoder, Recipe, ReconstructionOptions, Target

TASKS = (LearnedTask("emotion", "class", ("happy", "sad")),)
SMALL = Encoder(image_size=32, patch_size=8, width=48, depth=3, heads=4)


def joint(normalize=False, encoder=SMALL, seed=0, target="rgb"):
    auxiliary = ReconstructionOptions(
        target=(Target(name=target),),
        decoder_width=32,
        decoder_depth=2,
        decoder_heads=4,
        normalize_target=normalize,
        mask_ratio=0.75,
    )
    return JointModel(Recipe(seed=seed, primary_weight=0, auxiliary=auxiliary, encoder=encoder), TASKS)


def randomized(model):
    """Biases, norms and mask tokens away from their first values, so that none can be mistaken for another."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad and (parameter.ndim < 2 or parameter.shape[0] == 1):
                parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def vitmae_positions(transformers):
    """The decoder's table as transformers computes it: rows first, halves turned to the published layout."""
    module = sys.modules[transformers.ViTMAEForPreTraining.__module__]
    build = getattr(module, "build_2d_sinusoidal_position_embedding", None)
    if build is None:
        return torch.from_numpy(module.get_2d_sincos_pos_embed(32, 4, add_cls_token=True)).float().unsqueeze(0)
    table = build(height=4, width=4, embed_dim=32, cls_token=True)
    return torch.cat([table[:, 16:], table[:, :16]], dim=1).unsqueeze(0)


def batch_of(count=3, size=32):
    clean = torch.randint(0, 256, (count, 3, size, size), generator=torch.Generator().manual_seed(7), dtype=torch.uint8)
    return Batch(
        primary=clean.float() / 255,
        clean=clean,
        labels={"emotion": torch.zeros(count, dtype=torch.int64)},
        seeds=torch.arange(count),
    )


@pytest.mark.parametrize("normalize", [False, True])
def test_loss_and_gradients_are_those_of_transformers_vitmae(normalize, tmp_path):
    transformers = pytest.importorskip("transformers")
    ours, batch = randomized(joint(normalize)), batch_of()
    save_vitmae(ours, tmp_path / "mae")
    theirs, report = transformers.ViTMAEForPreTraining.from_pretrained(tmp_path / "mae", output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    assert theirs.config.norm_pix_loss is normalize

    loss = ours(batch).loss
    loss.backward()
    # Patches with the least noise stay visible there.
    noise = random_mask(batch.seeds, 16, 0.75).boolean().float()
    output = theirs((batch.primary - ours.encoder.mean) / ours.encoder.std, noise=noise)
    output.loss.backward()
    torch.testing.assert_close(loss, output.loss, rtol=1e-5, atol=1e-5)

    gradients = from_vitmae(
        {name: torch.zeros_like(p) if p.grad is None else p.grad for name, p in theirs.named_parameters()}
    )
    compared = {name: p.grad for name, p in ours.named_parameters() if p.grad is not None}
    assert len(compared) > 60
    for name, gradient in compared.items():
        torch.testing.assert_close(gradient, gradients[name], rtol=1e-4, atol=1e-5, msg=name)
        assert (gradient - gradients[name]).abs().max() < 1e-5, name


def test_vitmae_to_auxface_and_back_is_exact():
    ours = randomized(joint())
    weights, _ = vitmae_files(ours)
    back = from_vitmae(weights)
    mine = {name: value for name, value in ours.state_dict().items() if not name.startswith("primary.")}
    assert back.keys() == mine.keys()
    for name, value in mine.items():
        assert torch.equal(back[name], value), name


def test_auxface_to_vitmae_and_back_is_exact(tmp_path):
    transformers = pytest.importorskip("transformers")
    config = dict(hidden_size=48, num_hidden_layers=3, num_attention_heads=4, intermediate_size=192, image_size=32)
    config |= dict(patch_size=8, decoder_hidden_size=32, decoder_num_hidden_layers=2, decoder_num_attention_heads=4)
    theirs = transformers.ViTMAEForPreTraining(transformers.ViTMAEConfig(**config, decoder_intermediate_size=128))
    # A fresh model of some versions has zeros here; published ones have the sine-cosine table.
    theirs.decoder.decoder_pos_embed.data.copy_(vitmae_positions(transformers))
    theirs.save_pretrained(tmp_path / "theirs")
    written = safetensors.torch.load_file(tmp_path / "theirs" / "model.safetensors")
    ours = joint()
    missing, unexpected = ours.load_state_dict(from_vitmae(written), strict=False)
    assert all(name.startswith("primary.") for name in missing)
    assert not unexpected
    save_vitmae(ours, tmp_path / "again")
    again = transformers.ViTMAEForPreTraining.from_pretrained(tmp_path / "again")
    for (name, value), (other, same) in zip(theirs.state_dict().items(), again.state_dict().items(), strict=True):
        assert name == other
        if name == "decoder.decoder_pos_embed":
            torch.testing.assert_close(value, same, rtol=0, atol=1e-6)
        else:
            assert torch.equal(value, same), name


def test_an_encoder_starts_from_a_public_mae_checkpoint(tmp_path):
    # The published names, as facebook/vit-mae-base has them, written without transformers.
    saved = randomized(joint())
    save_vitmae(saved, tmp_path / "mae")
    names = set(safetensors.torch.load_file(tmp_path / "mae" / "model.safetensors"))
    assert "vit.encoder.layer.0.attention.attention.query.weight" in names
    assert "decoder.decoder_layers.0.intermediate.dense.weight" in names
    assert json.loads((tmp_path / "mae" / "config.json").read_text())["model_type"] == "vit_mae"
    started = joint(encoder=SMALL.model_copy(update={"init_from": str(tmp_path / "mae")}), seed=5)
    images = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(started.encoder(images).pooled, saved.encoder(images).pooled, rtol=0, atol=0)
    assert not torch.equal(
        started.auxiliaries["reconstruction"].decoder.embed.weight,
        saved.auxiliaries["reconstruction"].decoder.embed.weight,
    )


def test_a_saved_model_does_not_need_its_initial_weights(tmp_path):
    save_vitmae(joint(), tmp_path / "mae")
    started = joint(encoder=SMALL.model_copy(update={"init_from": str(tmp_path / "mae")}))
    started.save_pretrained(tmp_path / "model")
    (tmp_path / "mae" / "model.safetensors").unlink()
    restored = JointModel.from_pretrained(tmp_path / "model")
    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(restored.encoder(images).pooled, started.eval().encoder(images).pooled)


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "resnet10t"])
def test_an_encoder_starts_from_another_model_of_auxface(tmp_path, name):
    options = Encoder(name=name, image_size=64)
    saved = joint(encoder=options, seed=3)
    saved.save_pretrained(tmp_path / "model")
    encoder = build_encoder(options)
    load_initial_weights(encoder, tmp_path / "model")
    for key, value in saved.encoder.state_dict().items():
        assert torch.equal(encoder.state_dict()[key], value), key


def test_an_encoder_starts_from_timm_names(tmp_path):
    torch.manual_seed(0)
    source, target = (build_encoder(Encoder(name="resnet10t", image_size=64)) for _ in range(2))
    plain = {n: v for n, v in source.backbone.state_dict().items() if "masked_" not in n}
    safetensors.torch.save_file(plain | {"fc.weight": torch.zeros(2, 2)}, tmp_path / "timm.safetensors")
    with pytest.raises(InputError, match=r"1 unexpected: backbone\.fc\.weight"):
        load_initial_weights(target, tmp_path / "timm.safetensors")
    safetensors.torch.save_file(plain, tmp_path / "timm.safetensors")
    load_initial_weights(target, tmp_path / "timm.safetensors")
    assert torch.equal(target.backbone.conv1[0].weight, source.backbone.conv1[0].weight)


def test_positions_and_patches_of_another_size_are_resampled(tmp_path):
    learned = SMALL.model_copy(update={"positions": "learned"})
    saved = joint(encoder=learned)
    saved.save_pretrained(tmp_path / "learned")
    # The same grid of larger patches keeps the positions; a larger grid keeps the corners' order and the class token's.
    coarse = build_encoder(learned.model_copy(update={"image_size": 64, "patch_size": 16}))
    load_initial_weights(coarse, tmp_path / "learned")
    assert torch.equal(coarse.vit.pos_embed, saved.encoder.vit.pos_embed)
    gray = torch.full((1, 3, 32, 32), 0.7)
    small, large = saved.encoder.embed(gray), coarse.embed(torch.full((1, 3, 64, 64), 0.7))
    torch.testing.assert_close(small, large, rtol=1e-3, atol=1e-3)
    wider = build_encoder(learned.model_copy(update={"image_size": 48}))
    load_initial_weights(wider, tmp_path / "learned")
    assert wider.vit.pos_embed.shape == (1, 37, 48)
    assert torch.equal(wider.vit.pos_embed[:, 0], saved.encoder.vit.pos_embed[:, 0])
    fixed = build_encoder(SMALL.model_copy(update={"image_size": 48}))
    own = fixed.vit.pos_embed.clone()
    load_initial_weights(fixed, tmp_path / "learned")
    assert torch.equal(fixed.vit.pos_embed, own)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda w: w.pop("encoder.vit.blocks.1.norm1.weight"), r"1 missing: vit\.blocks\.1\.norm1\.weight"),
        (lambda w: w.update({"encoder.vit.strange": torch.zeros(1)}), r"1 unexpected: vit\.strange"),
        (lambda w: w.update({"encoder.vit.norm.bias": torch.zeros(7)}), r"'vit\.norm\.bias' is 7, expected 48"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, change, sentence):
    weights = joint().state_dict()
    change(weights)
    safetensors.torch.save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(InputError, match=sentence):
        load_initial_weights(build_encoder(SMALL), tmp_path)


def test_pickles_and_absent_files_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"no such file; encoder\.init_from"):
        load_initial_weights(build_encoder(SMALL), tmp_path / "nowhere")
    (tmp_path / "pytorch_model.bin").write_bytes(b"cos\nsystem\n")
    for source in (tmp_path, tmp_path / "pytorch_model.bin"):
        with pytest.raises(InputError, match="is a pickle"):
            load_initial_weights(build_encoder(SMALL), source)
    (tmp_path / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(InputError, match="not a readable safetensors file"):
        load_initial_weights(build_encoder(SMALL), tmp_path)


def test_only_a_plain_mae_can_be_written():
    with pytest.raises(InputError, match="reconstructs only RGB"):
        vitmae_files(joint(target="local_directional_pattern"))
    with pytest.raises(InputError, match="a plain Vision Transformer"):
        vitmae_files(joint(encoder=Encoder(name="resnet10t", image_size=64)))


def test_the_converters_do_not_import_transformers():
    code = "import sys, auxface.model.weights; sys.exit('transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
