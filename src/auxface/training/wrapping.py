"""How the transformer blocks are run: which attention, compiled or not, activations kept or computed again.

Nothing here changes the names of weights.
"""

from functools import partial

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from auxface.recipe import Train


def set_up_blocks(model: nn.Module, options: Train, device: torch.device, precision: str) -> None:
    """Prepare every block of encoder and decoder as the recipe says.

    Args:
        model: the model, on its device.
        options: the recipe's section.
        device: where it is trained.
        precision: ``no``, ``bf16`` or ``fp16``.
    """
    # In bf16 on a processor torch's fused attention falls back to a slow path; docs/performance.md has the figures.
    plain = options.attention == "plain" or (
        options.attention == "auto" and device.type == "cpu" and precision == "bf16"
    )
    for module in model.modules():
        if isinstance(getattr(module, "fused_attn", None), bool):
            module.fused_attn = not plain  # pyright: ignore[reportArgumentType]
    for block in transformer_blocks(model):
        if options.checkpoint_activations:
            block.forward = partial(checkpoint, block.forward, use_reentrant=False)
        if options.compile:
            block.compile()


def transformer_blocks(model: nn.Module) -> list[nn.Module]:
    """The repeated blocks of encoder and decoder, or the stages of encoders that are built of stages."""
    found: list[nn.Module] = []
    for name, module in model.named_modules():
        last = name.rpartition(".")[2]
        inside = any(module is part for block in found for part in block.modules())
        if last in ("blocks", "stages", "layers") and isinstance(module, nn.Sequential | nn.ModuleList) and not inside:
            found.extend(module)
    return found
