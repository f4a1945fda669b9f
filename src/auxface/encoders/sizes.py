"""Which picture sizes a backbone takes, found by trying, for the sentence that refuses another."""

from typing import Any

import timm
import torch

from auxface.recipe import Encoder

_LARGEST = 1024


def sizes_near(options: Encoder) -> str:
    """The nearest sizes below and above the one asked for that the model takes, as words."""
    stride = _stride(options.name)
    below = range(options.image_size // stride * stride, stride, -stride)
    above = range(options.image_size // stride * stride + stride, _LARGEST + 1, stride)
    found = [next((size for size in list(sizes)[:6] if _takes(options.name, size)), None) for sizes in (below, above)]
    words = [str(size) for size in found if size is not None and size != options.image_size]
    native = timm.get_pretrained_cfg(options.name)
    words = words or ([str(native.input_size[-1])] if native is not None else [])
    return " or ".join(words) or f"a multiple of {stride}"


def _stride(name: str) -> int:
    model: Any = timm.create_model(name, num_classes=0)
    return int(model.feature_info[-1]["reduction"])


@torch.no_grad()
def _takes(name: str, size: int) -> bool:
    try:
        try:
            model: Any = timm.create_model(name, num_classes=0, img_size=size)
        except TypeError:
            model = timm.create_model(name, num_classes=0)
        model.eval().forward_features(torch.zeros(1, 3, size, size))
    except (AssertionError, ValueError, RuntimeError):
        return False
    return True
