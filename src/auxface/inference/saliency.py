"""Where an encoder looked: attention rollout where it has attention over patches, and gradients, which all have."""

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
    """How much of each patch reaches the image's summary through all blocks (Abnar and Zuidema, 2020).

    Each block's attention is averaged over its heads and with the identity, which stands for the skip connection; the
    blocks' matrices are multiplied. Where there is a class token its row is taken, else the mean over all patches.

    Args:
        model: in evaluation mode.
        images: float [B, 3, S, S] in [0, 1].

    Returns:
        float32 [B, rows, columns], summing to 1; None for an encoder without attention over all its patches.
    """
    rows, columns = model.encoder.grid
    patches = rows * columns
    with _recorded(model.encoder) as records:
        model.logits(images)
    batch = len(images)
    fitting = [r for r in records if r.ndim == 4 and r.shape[0] == batch and r.shape[-1] == r.shape[-2] >= patches]
    if not fitting or len({r.shape[-1] for r in fitting}) != 1 or len(fitting) != len(records):
        return None
    tokens = fitting[0].shape[-1]
    prefix = tokens - patches
    if prefix > 16:
        return None
    identity = torch.eye(tokens, device=images.device)
    joined = identity.expand(batch, -1, -1)
    for record in fitting:
        joined = (0.5 * record.float().mean(dim=1) + 0.5 * identity) @ joined
    summary = joined[:, 0] if prefix else joined.mean(dim=1)
    seen = summary[:, prefix:]
    return (seen / seen.sum(dim=1, keepdim=True).clamp(min=1e-12)).view(batch, rows, columns)


def input_gradients(model: JointModel, images: Tensor, task: str, output: int, *, seed: int = 0) -> Tensor:
    """How strongly each patch moves one logit: absolute gradients, averaged over noisy copies (Smilkov et al., 2017).

    Args:
        model: in evaluation mode; no parameter's gradient is changed.
        images: float [B, 3, S, S] in [0, 1].
        task: whose logit.
        output: which of its logits.
        seed: of the noise.

    Returns:
        float32 [B, rows, columns], summing to 1.
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
def _recorded(encoder: nn.Module) -> Iterator[list[Tensor]]:
    """Collect every attention matrix [B, heads, T, T] that timm's attention layers compute inside the block."""
    layers = [
        m for m in encoder.modules() if hasattr(m, "attn_drop") and isinstance(getattr(m, "fused_attn", None), bool)
    ]
    fused = [layer.fused_attn for layer in layers]
    records: list[Tensor] = []
    handles = [
        # What dropout is given is the attention after softmax.
        layer.attn_drop.register_forward_hook(lambda _, given, result: records.append(result.detach()))  # pyright: ignore
        for layer in layers
    ]
    try:
        for layer in layers:
            # The fused kernel never forms the matrix.
            layer.fused_attn = False  # pyright: ignore[reportArgumentType]
        yield records
    finally:
        for layer, value, handle in zip(layers, fused, handles, strict=True):
            layer.fused_attn = value
            handle.remove()
