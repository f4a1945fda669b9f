import io

import numpy as np
import pytest
import torch
from PIL import Image

from auxface.errors import InputError
from auxface.inference.explain import explain_image, explanation_figure
from auxface.inference.predictor import Predictor, TorchScorer
from auxface.inference.reconstruction_error import covering_masks, reconstruction_surprise
from auxface.inference.saliency import attention_rollout, input_gradients


@pytest.fixture(scope="module")
def images(faces):
    squares = [np.asarray(Image.fromarray(face).resize((32, 32))) for face in faces]
    return torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2)


def test_rollout_equals_the_product_of_the_attention_matrices(saved, images):
    """By hand: softmax(qk) of each block, averaged over heads and with the identity, multiplied, first row."""
    vit, pixels = saved.model.encoder.vit, images[:2].float() / 255
    x = saved.model.encoder.embed(pixels)
    joined = torch.eye(x.shape[1]).expand(2, -1, -1)
    with torch.no_grad():
        for block in vit.blocks:
            attention = block.attn
            batch, tokens, width = x.shape
            qkv = attention.qkv(block.norm1(x)).view(batch, tokens, 3, attention.num_heads, -1).permute(2, 0, 3, 1, 4)
            weights = (qkv[0] @ qkv[1].transpose(-1, -2) / (width // attention.num_heads) ** 0.5).softmax(-1)
            joined = (0.5 * weights.mean(1) + 0.5 * torch.eye(tokens)) @ joined
            x = block(x)
    wanted = joined[:, 0, 1:]
    wanted = wanted / wanted.sum(1, keepdim=True)
    found = attention_rollout(saved.model, pixels)
    torch.testing.assert_close(found.flatten(1), wanted, rtol=1e-4, atol=1e-6)


def test_looking_leaves_the_model_as_it_was(saved, images):
    before = [layer.fused_attn for layer in saved.model.modules() if hasattr(layer, "fused_attn")]
    attention_rollout(saved.model, images.float() / 255)
    input_gradients(saved.model, images.float() / 255, "mood", 1)
    assert [layer.fused_attn for layer in saved.model.modules() if hasattr(layer, "fused_attn")] == before
    assert all(parameter.grad is None for parameter in saved.model.parameters())


def test_gradients_find_the_only_patch_that_matters(saved, images):
    class One(torch.nn.Module):
        """Its logit is the brightness of one patch."""

        def __init__(self):
            super().__init__()
            self.encoder = saved.model.encoder

        def logits(self, pixels):
            return {"mood": pixels[:, :, 8:16, 16:24].mean(dim=(1, 2, 3)).unsqueeze(1)}

    found = input_gradients(One(), images.float() / 255, "mood", 0)
    assert torch.allclose(found[:, 1, 2], torch.ones(len(images)))


@pytest.mark.parametrize(("patches", "ratio"), [(16, 0.75), (196, 0.75), (196, 0.9), (25, 0.1), (4, 0.5)])
def test_every_patch_is_hidden_by_some_mask(patches, ratio):
    masks = covering_masks(patches, ratio, seed=1)
    hidden = torch.stack([mask.boolean()[0] for mask in masks])
    assert hidden.any(dim=0).all()
    assert set(hidden.sum(dim=1).tolist()) == {min(max(round(ratio * patches), 1), patches - 1)}
    for mask in masks:
        assert torch.equal(torch.cat([mask.visible, mask.hidden], 1).sort().values[0], torch.arange(patches))


def test_surprise_does_not_depend_on_what_a_hidden_patch_hides(saved, images):
    """What is rebuilt of a patch comes from the other patches alone."""
    changed = images[:1].clone()
    changed[:, :, :8, :8] = 255 - changed[:, :, :8, :8]
    masks = [mask for mask in covering_masks(16, 0.75, 0) if mask.boolean()[0, 0]]
    assert masks
    made = [reconstruction_surprise(saved.model, pixels)[0] for pixels in (images[:1], changed)]
    torch.testing.assert_close(made[0].rebuilt[..., :8, :8], made[1].rebuilt[..., :8, :8])
    assert not torch.allclose(made[0].error[:, 0, 0], made[1].error[:, 0, 0])


def test_an_explanation_has_all_its_parts_and_is_the_same_each_time(saved, faces):
    predictor = Predictor(TorchScorer(saved, "cpu"))
    [one], [again] = explain_image(predictor, faces[0]), explain_image(predictor, faces[0])
    assert one.to_dict() == again.to_dict()
    assert [texture.name for texture in one.textures] == ["rgb", "local_binary_pattern"]
    assert one.attention.shape == one.gradients.shape == one.textures[0].surprise.shape == (4, 4)
    figure = Image.open(io.BytesIO(explanation_figure([one])))
    assert figure.width > 1000


@pytest.mark.parametrize(("arguments", "sentence"), [({"task": "age"}, "no task 'age'"), ({"only": 2}, "no face 2")])
def test_what_is_not_there_is_not_explained(saved, faces, arguments, sentence):
    with pytest.raises(InputError, match=sentence):
        explain_image(Predictor(TorchScorer(saved, "cpu")), faces[0], **arguments)
