"""How transformer blocks run: attention kernel, compilation, activation checkpointing.

The names of weights do not change.

Example:
    configure_blocks(model, recipe.train, torch.device("cuda"), "bf16")
"""

from functools import partial

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from auxface.recipe import Train


def configure_blocks(model: nn.Module, options: Train, device: torch.device, precision: str) -> None:
    """Set the attention kernel, compilation and activation checkpointing of every block of encoder and decoder.

    Args:
        model: Model on its device; changed in place.
        options: Section ``train`` of the recipe.
        device: Device on which the model is trained.
        precision: ``no``, ``bf16`` or ``fp16``, as Accelerate names it.
    """
    # In bf16 on a CPU, torch's fused attention falls back to a slow path; see docs/performance.md.
    is_slow_fused = device.type == "cpu" and precision == "bf16"
    plain = options.attention == "plain" or (options.attention == "auto" and is_slow_fused)
    for module in model.modules():
        if isinstance(getattr(module, "fused_attn", None), bool):
            module.fused_attn = not plain  # pyright: ignore[reportArgumentType]
    for block in transformer_blocks(model):
        if options.checkpoint_activations:
            block.forward = partial(checkpoint, block.forward, use_reentrant=False)
        if options.compile:
            block.compile()


def transformer_blocks(model: nn.Module) -> list[nn.Module]:
    """Return the repeated blocks of encoder and decoder, or the stages of hierarchical encoders."""
    blocks: list[nn.Module] = []
    for name, module in model.named_modules():
        is_list = name.rpartition(".")[2] in ("blocks", "stages", "layers")
        is_inside = any(module is part for block in blocks for part in block.modules())
        if is_list and isinstance(module, nn.Sequential | nn.ModuleList) and not is_inside:
            blocks.extend(module)
    return blocks
