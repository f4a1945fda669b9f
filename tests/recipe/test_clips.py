"""Recipes of clips: what they build, and one sentence for every wrong combination."""

import pytest

from auxface.encoders import VideoEncoder, build_encoder
from auxface.errors import InputError
from auxface.model import JointModel
from auxface.objectives import LearnedTask
from auxface.recipe import Encoder, load_recipe

TASKS = [LearnedTask("forged", "binary", ("real", "fake"))]
SMALL = ("encoder.image_size=32", "encoder.num_frames=4", "encoder.width=24", "encoder.depth=1", "encoder.heads=2")


def test_the_preset_is_the_published_clip_at_half_the_size():
    recipe = load_recipe("l_ssat_video")
    encoder = build_encoder(recipe.encoder)
    assert isinstance(encoder, VideoEncoder)
    assert recipe.encoder.sample_shape == (16, 3, 112, 112)
    assert encoder.grid == (8, 7, 7)
    assert recipe.auxiliary is not None
    assert (recipe.auxiliary.masking, recipe.auxiliary.mask_ratio) == ("tube", 0.9)
    assert [target.name for target in recipe.auxiliary.target] == ["local_binary_pattern"]


@pytest.mark.parametrize(("name", "millions"), [("videomae_small", 21.9), ("videomae_base", 86.2)])
def test_sizes_are_those_of_videomae(name, millions):
    # Counted in transformers: VideoMAEModel(VideoMAEConfig(hidden_size=..., ...)) without its second norm.
    encoder = build_encoder(Encoder(name=name, image_size=224))
    assert encoder.grid == (8, 14, 14)
    assert sum(p.numel() for p in encoder.parameters()) / 1e6 == pytest.approx(millions, abs=0.1)


def test_layers_near_the_pixels_learn_slower():
    from auxface.training.optimizer import make_optimizer

    model = JointModel(load_recipe("l_ssat_video", [*SMALL, "encoder.depth=2", "train.layer_decay=0.5"]), TASKS)
    optimizer = make_optimizer(model, model.recipe.train)
    scale = {id(p): group["scale"] for group in optimizer.param_groups for p in group["params"]}
    encoder = model.encoder
    blocks = [scale[id(block.mlp.fc1.weight)] for block in encoder.blocks]
    assert [scale[id(encoder.patches.weight)], *blocks, scale[id(encoder.norm.weight)]] == [0.25, 0.5, 1, 1]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (["encoder.num_frames=5"], "tubelet_size 2 must divide num_frames 5"),
        (["encoder.image_size=40"], "patch_size 16 must divide image_size 40"),
        (["primary.input=texture"], "primary.input texture requires images; for video clips, use rgb"),
        (["auxiliary.input=texture"], "auxiliary.input texture requires images; for video clips, use rgb"),
        (["auxiliary.masking=block"], "for video clips, use tube, random or parts"),
        (["train.self_blend=forged"], "self_blend works only on images; remove it for video clips"),
        (["encoder.name=videomae_bas"], "did you mean 'videomae_base'"),
        (["encoder.name=vit_tiny_patch16_224"], "is an image encoder; remove encoder.num_frames, or choose"),
        (["encoder.name=resnet10t", "encoder.image_size=64", "encoder.patch_size=null"], "is an image encoder; remove"),
        (["encoder.num_frames=null"], "tubelet_size applies to video encoders; also set num_frames"),
        (["encoder.num_frames=null", "encoder.tubelet_size=null"], "clips applies to video encoders"),
        (
            ["encoder.num_frames=null", "encoder.tubelet_size=null", "clips=null"],
            "is a video encoder; set encoder.num_frames",
        ),
        (["encoder.positions=learned"], "has fixed position embeddings"),
        (
            ["encoder.num_frames=128", "encoder.image_size=1024", "encoder.patch_size=8"],
            "a clip would have 1048576 tokens; at most 32768",
        ),
        (["encoder.pretrained=true"], "set encoder.init_from to a VideoMAE"),
        (["encoder.heads=5"], "width 192 must be a multiple of heads 5"),
        (["encoder.num_frame=8"], "did you mean 'encoder.num_frames'"),
        (["clips.strides=2"], "did you mean 'clips.stride'"),
        (["auxiliary.target=lbp_topp"], "did you mean 'lbp_top'"),
    ],
)
def test_options_that_clips_lack_are_refused(settings, sentence):
    with pytest.raises(InputError, match=sentence) as caught:
        JointModel(load_recipe("l_ssat_video", settings), TASKS)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (["auxiliary.masking=tube"], "for images, use random"),
        (["auxiliary.target=lbp_top"], "lbp_top requires video clips; for images, use local_binary_pattern"),
        (["clips.stride=2"], "clips applies to video encoders, but vit_tiny_patch16_224 encodes images"),
        (["encoder.tubelet_size=2"], "tubelet_size applies to video encoders"),
    ],
)
def test_images_have_no_clips(settings, sentence):
    with pytest.raises(InputError, match=sentence):
        JointModel(load_recipe("l_ssat", settings), TASKS)


@pytest.mark.parametrize("fusion", ["concat", "cross_attention"])
def test_fusion_reads_every_token_of_a_clip(fusion):
    import torch

    model = JointModel(load_recipe("l_ssat_video", [*SMALL, f"fusion={fusion}"]), TASKS).eval()
    clips = torch.rand(2, 4, 3, 32, 32)
    assert torch.equal(model.logits(clips)["forged"], model.logits(clips)["forged"])
