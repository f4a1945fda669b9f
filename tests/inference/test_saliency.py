"""Attention rollout and input gradients."""

import numpy as np
import pytest
import torch
from PIL import Image

from auxface.inference.saliency import attention_rollout, input_gradients


@pytest.fixture(scope="module")
def images(faces):
    squares = [np.asarray(Image.fromarray(face).resize((32, 32))) for face in faces]
    return torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2)


def test_rollout_equals_product_of_attention_matrices(saved, images):
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
    expected = joined[:, 0, 1:]
    expected = expected / expected.sum(1, keepdim=True)
    found = attention_rollout(saved.model, pixels)
    torch.testing.assert_close(found.flatten(1), expected, rtol=1e-4, atol=1e-6)


def test_saliency_does_not_change_the_model(saved, images):
    before = [layer.fused_attn for layer in saved.model.modules() if hasattr(layer, "fused_attn")]
    attention_rollout(saved.model, images.float() / 255)
    input_gradients(saved.model, images.float() / 255, "mood", 1)
    assert [layer.fused_attn for layer in saved.model.modules() if hasattr(layer, "fused_attn")] == before
    assert all(parameter.grad is None for parameter in saved.model.parameters())


def test_gradients_find_the_only_relevant_patch(saved, images):
    class One(torch.nn.Module):
        """Its logit is the brightness of one patch."""

        def __init__(self):
            super().__init__()
            self.encoder = saved.model.encoder

        def logits(self, pixels):
            return {"mood": pixels[:, :, 8:16, 16:24].mean(dim=(1, 2, 3)).unsqueeze(1)}

    found = input_gradients(One(), images.float() / 255, "mood", 0)
    assert torch.allclose(found[:, 1, 2], torch.ones(len(images)))
