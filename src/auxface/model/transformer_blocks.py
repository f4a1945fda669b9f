"""Names of a transformer block's weights in timm and in checkpoints of the transformers library."""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

_PAIRS = (
    ("norm1", "layernorm_before"),
    ("norm2", "layernorm_after"),
    ("attn.proj", "attention.output.dense"),
    ("mlp.fc1", "intermediate.dense"),
    ("mlp.fc2", "output.dense"),
)
_QUERY_KEY_VALUE = tuple(f"attention.attention.{part}" for part in ("query", "key", "value"))
# transformers 5 renames in memory what is published under the older names, and some versions write mixtures.
_RENAMED = (
    (r"^((?:\w+\.)?)layers\.(\d+)\.", r"\1encoder.layer.\2."),
    (r"^decoder\.decoder_encoder\.layer\.", "decoder.decoder_layers."),
    (r"\.attention\.q_proj\.", ".attention.attention.query."),
    (r"\.attention\.k_proj\.", ".attention.attention.key."),
    (r"\.attention\.v_proj\.", ".attention.attention.value."),
    (r"\.attention\.o_proj\.", ".attention.output.dense."),
    (r"\.mlp\.fc1\.", ".intermediate.dense."),
    (r"\.mlp\.fc2\.", ".output.dense."),
)


def published_name(name: str) -> str:
    """Return the published name of a weight that any version of transformers wrote."""
    for pattern, replacement in _RENAMED:
        name = re.sub(pattern, replacement, name)
    return name


def block_to_timm(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the weights of one block, without the block's prefix, to timm's names; unknown names are kept."""
    left = dict(weights)
    found: dict[str, Tensor] = {}
    for kind in ("weight", "bias"):
        parts = [f"{part}.{kind}" for part in _QUERY_KEY_VALUE]
        if all(part in left for part in parts):
            found[f"attn.qkv.{kind}"] = torch.cat([left.pop(part) for part in parts])
        for ours, theirs in _PAIRS:
            if f"{theirs}.{kind}" in left:
                found[f"{ours}.{kind}"] = left.pop(f"{theirs}.{kind}")
    return found | left


def block_to_transformers(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Invert :func:`block_to_timm`."""
    found: dict[str, Tensor] = {}
    for kind in ("weight", "bias"):
        thirds = weights[f"attn.qkv.{kind}"].chunk(3)
        found |= {f"{part}.{kind}": third.clone() for part, third in zip(_QUERY_KEY_VALUE, thirds, strict=True)}
        found |= {f"{theirs}.{kind}": weights[f"{ours}.{kind}"] for ours, theirs in _PAIRS}
    return found


def split_blocks(weights: Mapping[str, Tensor], prefix: str) -> tuple[dict[int, dict[str, Tensor]], dict[str, Tensor]]:
    """Split weights into those of each block, by number and without ``prefix`` + number, and all others."""
    blocks: dict[int, dict[str, Tensor]] = {}
    others: dict[str, Tensor] = {}
    pattern = re.compile(re.escape(prefix) + r"(\d+)\.(.+)")
    for name, value in weights.items():
        match = pattern.fullmatch(name)
        if match is None:
            others[name] = value
        else:
            blocks.setdefault(int(match[1]), {})[match[2]] = value
    return blocks, others
