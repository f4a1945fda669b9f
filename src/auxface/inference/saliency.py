"""Saliency maps: attention rollout for encoders with attention over patches, and SmoothGrad for any encoder.

Attention rollout (Abnar and Zuidema, 2020) does not depend on the task. SmoothGrad (Smilkov et al., 2017) shows which
patches change one logit.

Example::

    attention_rollout(model, images)              # [B, rows, columns] or None
    input_gradients(model, images, "emotion", 3)  # [B, rows, columns]
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from auxface.model.joint import JointModel

_SAMPLES = 8
_NOISE = 0.08


@torch.no_grad()
def attention_rollout(model: JointModel, images: Tensor) -> Tensor | None:
    """Return the contribution of each patch to the pooled features through the attention of all blocks.

    The attention of each block is averaged over its heads and then averaged with the identity matrix, which accounts
    for the skip connection. The matrices of all blocks are then multiplied. The result is the row of the class token
    or, without a class token, the mean over all patches.

    Args:
        model: joint model in evaluation mode.
        images: images in [0, 1], float [B, 3, S, S].

    Returns:
        The contributions, float32 [B, rows, columns], summing to 1 for each image; None for an encoder without
        attention over all its patches.
    """
    rows, columns = model.encoder.grid
    patches = rows * columns
    with _recorded_attention(model.encoder) as records:
        model.logits(images)
    batch = len(images)
    square = [r for r in records if r.ndim == 4 and r.shape[0] == batch and r.shape[-1] == r.shape[-2] >= patches]
    if not square or len({r.shape[-1] for r in square}) != 1 or len(square) != len(records):
        return None
    tokens = square[0].shape[-1]
    prefix = tokens - patches
    if prefix > 16:
        return None
    identity = torch.eye(tokens, device=images.device)
    product = identity.expand(batch, -1, -1)
    for record in square:
        product = (0.5 * record.float().mean(dim=1) + 0.5 * identity) @ product
    pooled = product[:, 0] if prefix else product.mean(dim=1)
    weights = pooled[:, prefix:]
    return (weights / weights.sum(dim=1, keepdim=True).clamp(min=1e-12)).view(batch, rows, columns)


def input_gradients(model: JointModel, images: Tensor, task: str, output: int, *, seed: int = 0) -> Tensor:
    """Return the influence of each patch on one logit, as absolute gradients averaged over noisy copies (SmoothGrad).

    For a task with several logits, the log-probability is differentiated instead of the logit.

    Args:
        model: joint model in evaluation mode; the gradients of its parameters are not modified.
        images: images in [0, 1], float [B, 3, S, S].
        task: name of the task.
        output: index of the logit.
        seed: seed of the noise.

    Returns:
        The influence of each patch, float32 [B, rows, columns], summing to 1 for each image.
    """
    generator = torch.Generator().manual_seed(seed)
    total = torch.zeros_like(images[:, 0])
    for _ in range(_SAMPLES):
        noise = torch.randn(images.shape[1:], generator=generator).to(images.device) * _NOISE
        noisy = (images + noise).detach().requires_grad_(True)
        with torch.enable_grad():
            logits = model.logits(noisy)[task].float()
            chosen = logits.log_softmax(dim=1)[:, output] if logits.shape[1] > 1 else logits[:, 0]
            total += torch.autograd.grad(chosen.sum(), noisy)[0].abs().amax(dim=1)
    patches = F.adaptive_avg_pool2d(total.unsqueeze(1), model.encoder.grid).squeeze(1)
    return patches / patches.sum(dim=(1, 2), keepdim=True).clamp(min=1e-12)


@contextmanager
def _recorded_attention(encoder: nn.Module) -> Iterator[list[Tensor]]:
    """Record every attention matrix [B, heads, T, T] that timm's attention layers compute within the ``with`` block."""
    layers = [
        m for m in encoder.modules() if hasattr(m, "attn_drop") and isinstance(getattr(m, "fused_attn", None), bool)
    ]
    fused = [layer.fused_attn for layer in layers]
    records: list[Tensor] = []
    handles = [
        # The dropout layer receives the attention matrix after the softmax.
        layer.attn_drop.register_forward_hook(lambda _, inputs, output: records.append(output.detach()))  # pyright: ignore
        for layer in layers
    ]
    try:
        for layer in layers:
            # The fused kernel does not materialize the attention matrix.
            layer.fused_attn = False  # pyright: ignore[reportArgumentType]
        yield records
    finally:
        for layer, value, handle in zip(layers, fused, handles, strict=True):
            layer.fused_attn = value
            handle.remove()
