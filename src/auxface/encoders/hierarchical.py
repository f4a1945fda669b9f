"""Hierarchical and convolutional encoders, which replace hidden patches in the image (SimMIM: Xie et al., 2022).

The tokens are the positions of the last feature map. A patch is the image area of one position, a square whose side is
the total stride. A hidden patch is replaced with a learned image patch before the first layer, so that no hidden pixel
reaches any layer. Tokens of masked images are centered on their patches (see
:mod:`auxface.encoders.patch_alignment`).

Masked and complete images have separate batch-norm statistics. In evaluation, a batch norm uses the running
statistics of its training inputs. A joint step encodes complete and masked images, whose features are distributed
differently, so a single running average would fit neither kind of image (Xie et al., 2020, report the same for clean
and adversarial images). The weights are shared; only the running statistics are separate.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import timm
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from auxface.encoders.maskable import Family, Features, MaskableEncoder, register
from auxface.encoders.masking import Mask
from auxface.encoders.patch_alignment import PatchAlignment, find_alignment
from auxface.encoders.timm_model import Refused, create, is_column_shaped, sizes_near
from auxface.errors import InputError
from auxface.recipe import Encoder

_RUNNING = ("running_mean", "running_var", "num_batches_tracked")
# Layers of timm heads that widen the pooled features. These layers are removed, so that pooled features have the width
# of the tokens.
_WIDENING = ("conv_head", "norm_head", "pre_logits", "in_conv", "pre_classifier", "head")


class MaskedStatistics:
    """A second set of running statistics for every batch norm of a model.

    Args:
        model: model whose batch norms, if any, receive the buffers ``masked_running_mean``, ``masked_running_var`` and
            ``masked_num_batches_tracked``.
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
    def active(self) -> Iterator[None]:
        """Use and update the statistics of masked images inside a ``with`` block."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def copy_if_unused(self) -> None:
        """Copy the statistics of masked images to batch norms that were never trained on complete images.

        This method synchronizes with the device. It is called when the model switches from training to evaluation.
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


class HierarchicalEncoder(MaskableEncoder):
    """A timm model with one token for every position of its last feature map, including the hidden positions.

    Args:
        backbone: model without a classifier.
        image_size: side length in pixels of the images for which the model was built.
        mean: channel means of images in [0, 1].
        std: channel standard deviations of images in [0, 1].

    Attributes:
        alignment: shift that centers the tokens of masked images on their patches; None for no shift.

    Raises:
        ValueError: the last feature map is not a square of at least two by two positions, or its side does not divide
            the side of the image.
    """

    def __init__(self, backbone: nn.Module, image_size: int, mean: Sequence[float], std: Sequence[float]) -> None:
        widened = getattr(backbone, "head_hidden_size", None) not in (None, backbone.num_features)
        if widened:
            for name in _WIDENING:
                if hasattr(backbone, name):
                    setattr(backbone, name, nn.Identity())
        training = backbone.training
        backbone.eval()
        tokens = _tokens_of_blank_image(backbone, image_size)
        side = round(tokens.shape[1] ** 0.5)
        if side**2 != tokens.shape[1] or image_size % side:
            raise ValueError(
                f"its last feature map has {tokens.shape[1]} positions, which do not form a square grid over the image"
            )
        if side < 2:
            raise ValueError("its last feature map is a single position")
        super().__init__((side, side), tokens.shape[2], image_size // side, mean, std)
        self.alignment = find_alignment(backbone, image_size=image_size, side=side)
        backbone.train(training)
        self.backbone: Any = backbone
        self.mask_patch = nn.Parameter(torch.empty(1, 3, self.patch_size, self.patch_size))
        nn.init.normal_(self.mask_patch, std=0.02)
        self._widened = widened
        self._masked_statistics = MaskedStatistics(backbone)

    def embed(self, images: Tensor) -> Tensor:
        """Standardize images, float [B, 3, H, W] in [0, 1]."""
        return (images - self.mean) / self.std

    def encode(self, embedded: Tensor, mask: Mask | None = None) -> Features:
        """Run the model on the image, with hidden patches replaced with the learned patch."""
        if mask is None:
            return self._features(embedded)
        with self._masked_statistics.active():
            return self._features(self._replace_hidden(embedded, mask), self.alignment)

    def forward_auxiliary(self, images: Tensor) -> Features:
        """Encode complete images, using and updating the batch-norm statistics of masked images."""
        with self._masked_statistics.active():
            return self(images)

    @property
    def last_stage(self) -> nn.Module:
        """The last stage that timm names or, if that stage has no weights, the last module that has weights."""
        info = getattr(self.backbone, "feature_info", None)
        named: list[nn.Module] = [self.backbone.get_submodule(info[-1]["module"])] if info else []
        candidates = [*named, *reversed(list(self.backbone.children()))]
        return next(module for module in candidates if any(True for _ in module.parameters()))

    def train(self, mode: bool = True) -> "HierarchicalEncoder":
        """Switch between training and evaluation mode."""
        if self.training and not mode:
            self._masked_statistics.copy_if_unused()
        return super().train(mode)

    def _replace_hidden(self, images: Tensor, mask: Mask) -> Tensor:
        rows, columns = self.grid
        side = self.patch_size
        hidden = mask.boolean().view(-1, 1, rows, 1, columns, 1).expand(-1, -1, -1, side, -1, side)
        patches = self.mask_patch.to(images.dtype).repeat(1, 1, rows, columns)
        return torch.where(hidden.reshape(-1, 1, rows * side, columns * side), patches, images)

    def _features(self, images: Tensor, alignment: PatchAlignment | None = None) -> Features:
        if alignment is None:
            features = self.backbone.forward_features(images)
        else:
            with alignment.padding(self.backbone):
                features = alignment.crop(self.backbone.forward_features(images))
        prefix, tokens = _tokens(self.backbone, features)
        pooled = (
            tokens.mean(dim=1) if self._widened else self.backbone.forward_head(features, pre_logits=True).flatten(1)
        )
        return Features(tokens=tokens, pooled=pooled, prefix=prefix)


def _tokens(backbone: Any, features: Tensor) -> tuple[Tensor, Tensor]:
    """Return prefix tokens [B, P, D] and patch tokens [B, N, D] from any layout of timm's ``forward_features``."""
    if features.ndim == 4:
        channels_last = getattr(backbone, "output_fmt", "NCHW") == "NHWC"
        features = features.flatten(1, 2) if channels_last else features.flatten(2).mT
        return features[:, :0], features
    prefix = getattr(backbone, "num_prefix_tokens", 0) or 0
    return features[:, :prefix], features[:, prefix:]


@torch.no_grad()
def _tokens_of_blank_image(backbone: nn.Module, image_size: int) -> Tensor:
    return _tokens(backbone, backbone.forward_features(torch.zeros(1, 3, image_size, image_size)))[1]  # pyright: ignore


def build_hierarchical(options: Encoder) -> HierarchicalEncoder:
    """Build an encoder from a timm model that is not column-shaped, for :func:`auxface.encoders.build_encoder`.

    Raises:
        InputError: the model does not accept an option or the image size; the message names the nearest valid sizes.
    """
    for field in ("width", "depth", "heads", "positions"):
        if getattr(options, field) is not None:
            raise InputError(f"encoder '{options.name}' does not support encoder.{field}; remove encoder.{field}")
    arguments = {"drop_path_rate": options.drop_path or None, "output_stride": options.output_stride}
    try:
        try:
            model = create(options, {"img_size": options.image_size, **arguments})
        except TypeError:
            model = create(options, arguments)
        return HierarchicalEncoder(model, options.image_size, options.mean, options.std)
    except InputError:
        raise
    except (Refused, AssertionError, ValueError, RuntimeError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(
            f"encoder '{options.name}' does not accept encoder.image_size {options.image_size} ({reason}); "
            f"encoder.image_size can be {sizes_near(options)}"
        ) from None


FAMILY = register(
    Family(
        name="hierarchical",
        accepts=lambda name: timm.is_model(name) and not is_column_shaped(name),
        build=build_hierarchical,
        examples=(
            "swinv2_tiny_window8_256",
            "convnextv2_atto",
            "pvt_v2_b0",
            "maxvit_pico_rw_256",
            "resnet10t",
            "efficientnet_b0",
            "mobilenetv4_conv_small_035",
            "vit_relpos_small_patch16_224",
        ),
    )
)
