"""Hierarchical and convolutional backbones: hidden patches are painted over in the image (after Xie et al., 2022).

Their tokens are the places of the last feature map. A patch is what one place of it covers, a square as wide as the
total stride; a hidden one is replaced by a learned image of a patch before the backbone sees it, so that no pixel of
it can reach anything.

Batch normalization that keeps the statistics of masked or cropped images apart from those of whole ones.

A batch norm evaluates with running statistics of what it was trained on. A joint step shows it two kinds of images
whose features are distributed differently; one running average of both would fit neither (the same is known of clean
and adversarial images: Xie et al., 2020). Weights are shared, only the running statistics are two.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from auxface.encoders.maskable import Features, MaskableEncoder
from auxface.encoders.masking import Mask

_RUNNING = ("running_mean", "running_var", "num_batches_tracked")


class MaskedStatistics:
    """The second set of running statistics of every batch norm in a model; none if it has no batch norm.

    Args:
        model: gets buffers ``masked_running_mean`` and so on beside its batch norms' own.
    """

    def __init__(self, model: nn.Module) -> None:
        self._norms = [
            module
            for module in model.modules()
            if isinstance(module, _BatchNorm) and module.track_running_stats and module.running_mean is not None
        ]
        for norm in self._norms:
            for name in _RUNNING:
                norm.register_buffer(f"masked_{name}", getattr(norm, name).clone())

    @contextmanager
    def used(self) -> Iterator[None]:
        """Inside, batch norms read and update the statistics of masked images."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def lend(self) -> None:
        """Where no whole image was ever seen in training, take the statistics of the masked ones for whole ones.

        Waits for the device; meant for the change from training to evaluation.
        """
        for norm in self._norms:
            own: Tensor = norm.num_batches_tracked  # pyright: ignore[reportAssignmentType]
            masked: Tensor = norm.masked_num_batches_tracked  # pyright: ignore[reportAssignmentType]
            if not own.is_meta and int(own) == 0 and int(masked) > 0:
                with torch.no_grad():
                    norm.running_mean.copy_(norm.masked_running_mean)  # pyright: ignore
                    norm.running_var.copy_(norm.masked_running_var)  # pyright: ignore

    def _swap(self) -> None:
        for norm in self._norms:
            buffers = norm._buffers
            for name in _RUNNING:
                buffers[name], buffers[f"masked_{name}"] = buffers[f"masked_{name}"], buffers[name]


# Parts of timm heads that widen the pooled features; pooled features here are as wide as the tokens.
_WIDENING = ("conv_head", "norm_head", "pre_logits", "in_conv", "pre_classifier", "head")


class FeatureMapEncoder(MaskableEncoder):
    """A timm backbone with a token for every place of its last feature map, hidden or not.

    Args:
        backbone: the model, without a classifier.
        image_size: side of the images it was built for.
        mean: channel means of images in [0, 1].
        std: channel standard deviations.

    Raises:
        ValueError: the last feature map of such an image is not a square of at least two by two places that the
            image divides into.
    """

    def __init__(self, backbone: nn.Module, image_size: int, mean: Sequence[float], std: Sequence[float]) -> None:
        widened = getattr(backbone, "head_hidden_size", None) not in (None, backbone.num_features)
        if widened:
            for name in _WIDENING:
                if hasattr(backbone, name):
                    setattr(backbone, name, nn.Identity())
        tokens = _probe(backbone, image_size)
        side = round(tokens.shape[1] ** 0.5)
        if side**2 != tokens.shape[1] or image_size % side:
            raise ValueError(f"its last feature map has {tokens.shape[1]} places, which do not tile the image")
        if side < 2:
            raise ValueError("its last feature map is a single place")
        super().__init__((side, side), tokens.shape[2], image_size // side, mean, std)
        self.backbone: Any = backbone
        self.mask_patch = nn.Parameter(torch.empty(1, 3, self.patch_size, self.patch_size))
        nn.init.normal_(self.mask_patch, std=0.02)
        self._widened = widened
        self._masked_statistics = MaskedStatistics(backbone)

    def embed(self, images: Tensor) -> Tensor:
        """Images in [0, 1], float [B, 3, H, W], standardized."""
        return (images - self.mean) / self.std

    def encode(self, embedded: Tensor, mask: Mask | None = None) -> Features:
        """Run the backbone over the image, hidden patches painted over."""
        if mask is None:
            return self._features(embedded)
        with self._masked_statistics.used():
            return self._features(self._paint(embedded, mask))

    def look_apart(self, images: Tensor) -> Features:
        """As ``forward``; batch norms count the images among the masked ones."""
        with self._masked_statistics.used():
            return self(images)

    def train(self, mode: bool = True) -> "FeatureMapEncoder":
        """Switch between training and evaluation."""
        if self.training and not mode:
            self._masked_statistics.lend()
        return super().train(mode)

    def _paint(self, images: Tensor, mask: Mask) -> Tensor:
        rows, columns = self.grid
        side = self.patch_size
        hidden = mask.boolean().view(-1, 1, rows, 1, columns, 1).expand(-1, -1, -1, side, -1, side)
        patches = self.mask_patch.to(images.dtype).repeat(1, 1, rows, columns)
        return torch.where(hidden.reshape(-1, 1, rows * side, columns * side), patches, images)

    def _features(self, images: Tensor) -> Features:
        seen = self.backbone.forward_features(images)
        prefix, tokens = _tokens(self.backbone, seen)
        pooled = tokens.mean(dim=1) if self._widened else self.backbone.forward_head(seen, pre_logits=True).flatten(1)
        return Features(tokens=tokens, pooled=pooled, prefix=prefix)


def _tokens(backbone: Any, seen: Tensor) -> tuple[Tensor, Tensor]:
    """Prefix tokens [B, P, D] and tokens [B, N, D] of what ``forward_features`` gave, in any of timm's layouts."""
    if seen.ndim == 4:
        seen = seen.flatten(1, 2) if getattr(backbone, "output_fmt", "NCHW") == "NHWC" else seen.flatten(2).mT
        return seen[:, :0], seen
    prefix = getattr(backbone, "num_prefix_tokens", 0) or 0
    return seen[:, :prefix], seen[:, prefix:]


@torch.no_grad()
def _probe(backbone: nn.Module, image_size: int) -> Tensor:
    training = backbone.training
    backbone.eval()
    tokens = _tokens(backbone, backbone.forward_features(torch.zeros(1, 3, image_size, image_size)))[1]  # pyright: ignore
    backbone.train(training)
    return tokens
