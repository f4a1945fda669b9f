"""Targets of the masked autoencoder: RGB or encoded texture maps of the clean view, cut into patches.

Example:
    >>> target = PatchTarget(Target(name="local_binary_pattern", encoding="bits"), patch_size=8)
    >>> target.values, target.bits
    (512, 8)
    >>> images = torch.zeros(2, 3, 32, 32, dtype=torch.uint8)
    >>> target.compute(images, torch.zeros(1, 3, 1, 1), torch.ones(1, 3, 1, 1)).shape
    torch.Size([2, 16, 512])
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from auxface import texture
from auxface.errors import InputError
from auxface.recipe import Target
from auxface.texture.tiles import empty_real_maps

# The number of images that was fastest in measurements (docs/performance.md): 16 images of 64 x 64 pixels, or 2 images
# of 224 x 224 pixels.
_IMAGES_AT_ONCE, _PIXELS_AT_ONCE = 16, 2**17


class PatchTarget:
    """A reconstruction target for a fixed patch size: its computation, its encoding, and its loss.

    Args:
        spec: the recipe section of the target.
        patch_size: side length of a patch in pixels.
        tubelet: number of frames per token; 1 for images.
        normalize: whether to normalize each patch by its own mean and variance (``scalar`` encoding only).

    Attributes:
        key: name of the target in logs and in the decoder.
        channels: number of values per pixel, or per cell of a histogram descriptor.
        values: number of values per patch or tubelet, which the decoder predicts.
        maps: number of histograms, or of texture maps, in the values of a patch.
        bits: number of bits per code; 1 if the target is not encoded as bits.
        is_video: whether the target is computed from several frames.

    Raises:
        InputError: a descriptor, parameter or encoding is unknown, or the patch size is not a multiple of the scale or
            of the descriptor's cell size.
    """

    def __init__(self, spec: Target, patch_size: int, *, tubelet: int = 1, normalize: bool = False) -> None:
        if patch_size % spec.scale:
            raise InputError(f"auxiliary.target {spec.name}: scale {spec.scale} must divide patch_size {patch_size}")
        self.spec, self.key = spec, spec.key
        self.tubelet = tubelet
        self.normalize = normalize and spec.encoding == "scalar"
        self._patch = patch_size // spec.scale
        self._cell, self.channels, self.bits, self.is_video = 1, 3, 1, False
        if spec.name != "rgb":
            self._resolve_descriptor()
        self.maps = tubelet * target_maps(spec)
        cells = 1 if spec.encoding == "histogram" else (self._patch // self._cell) ** 2
        self.values = tubelet * self.channels * cells

    def _resolve_descriptor(self) -> None:
        spec = self.spec
        try:
            descriptor = texture.get(spec.name)
            self._parameters = descriptor.complete(spec.parameters)
            self._output = descriptor.describe_output(**self._parameters)
            self.channels = texture.target_channels(spec.name, spec.encoding, **spec.parameters)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"auxiliary.target: {error.args[0] if error.args else error}") from None
        self._describe = descriptor.function
        self._range = None if self._output.is_code else (self._output.low, self._output.high)
        self._cell = self._output.cell
        self.is_video = descriptor.input == "clip"
        if spec.encoding == "bits":
            self.bits = self.channels // self._output.maps
        if spec.encoding != "histogram" and self._patch % self._cell:
            raise InputError(
                f"auxiliary.target {spec.name}: the cell size {self._cell} must divide patch_size {self._patch}"
            )

    def compute(self, clean: Tensor, mean: Tensor, std: Tensor, places: Tensor | None = None) -> Tensor:
        """Compute the target of patches from the clean view.

        Args:
            clean: uint8 [B, 3, H, W], or video clips [B, T, 3, H, W].
            mean: [1, 3, 1, 1], channel means with which RGB is standardized.
            std: [1, 3, 1, 1], channel standard deviations.
            places: int64 [B, M], indices of patches; None for all patches.

        Returns:
            The target, float32 [B, N, values], or [B, M, values] if ``places`` is given.
        """
        if clean.ndim == 4:
            patches = self._patches(self._maps(clean, mean, std), places)
        else:
            frames = self._patches(self._maps(clean, mean, std), None)
            patches = _join_frames(frames, len(clean), self.tubelet)
            patches = patches if places is None else patches_at(patches, places)
        if not self.normalize:
            return patches
        if clean.ndim == 5 and self.spec.name == "rgb":
            # VideoMAE normalizes each color channel separately.
            return normalize_patches(patches.unflatten(-1, (-1, 3)).transpose(-1, -2)).transpose(-1, -2).flatten(-2)
        return normalize_patches(patches)

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Compute the mean loss over patches; see :func:`target_loss`."""
        return target_loss(prediction, target, self.spec.encoding, maps=self.maps, bits=self.bits)

    def activate(self, prediction: Tensor) -> Tensor:
        """Convert the decoder's output to the scale of the target; see :func:`activate`."""
        return activate(prediction, self.spec.encoding, self.maps)

    def _maps(self, clean: Tensor, mean: Tensor, std: Tensor) -> Tensor:
        """Return the RGB values or the descriptor's maps of every frame, [frames, ..., H, W]."""
        frames = clean.flatten(0, 1) if clean.ndim == 5 else clean
        if self.spec.name == "rgb":
            return (_coarsen(frames, self.spec).float() / 255 - mean) / std
        gray = _coarsen(torch.as_tensor(texture.gray(frames)).unsqueeze(1), self.spec).squeeze(1)
        if not self.is_video:
            return torch.as_tensor(self._describe(gray, **self._parameters))
        planes = self._describe(gray.view(*clean.shape[:2], *gray.shape[1:]), **self._parameters)
        # The shape is [B, planes, T, H, W]: each frame contains the codes of its pixels in every plane.
        return torch.as_tensor(planes).transpose(1, 2).flatten(0, 1)

    def _patches(self, maps: Tensor, places: Tensor | None) -> Tensor:
        if places is None:
            return self._cut(maps)
        # On a CPU, only a few images are processed at a time, so that unneeded patches never leave the cache.
        pixels = maps.shape[-2] * maps.shape[-1]
        few_images = min(max(_PIXELS_AT_ONCE // pixels, 1), _IMAGES_AT_ONCE)
        group = few_images if maps.device.type == "cpu" else max(len(maps), 1)
        picked = empty_real_maps((*places.shape, self.values), maps.device)
        for few, at, part in zip(maps.split(group), places.split(group), picked.split(group), strict=True):
            patches = self._cut(few)
            rows = at + patches.shape[1] * torch.arange(len(at), device=at.device)[:, None]
            torch.index_select(patches.flatten(0, 1), 0, rows.flatten(), out=part.view(-1, patches.shape[2]))
        return picked

    def _cut(self, maps: Tensor) -> Tensor:
        """Encode maps and cut them into patches, [B, N, values]."""
        if self.spec.name == "rgb":
            return patchify(maps, self._patch)
        encoded = torch.as_tensor(
            texture.encode(
                maps,
                self.spec.encoding,
                n_codes=self._output.n_codes,
                patch=self._patch if self.spec.encoding == "histogram" else None,
                maps=self._output.maps,
                value_range=self._range,
            )
        )
        if self.spec.encoding == "histogram":
            return encoded.flatten(1, 2).float()
        if encoded.ndim > 4:
            # In a histogram descriptor, the values are the last axes: [B, rows, columns, ...] is converted to
            # [B, values, rows, columns].
            encoded = encoded.flatten(3).permute(0, 3, 1, 2)
        encoded = encoded if encoded.ndim == 4 else encoded.unsqueeze(1)
        # Bits are rearranged as bytes and converted to float afterwards.
        return patchify(encoded.contiguous(), self._patch // self._cell).float()


def target_maps(spec: Target) -> int:
    """Return the number of texture maps whose values form a patch; 1 for RGB."""
    return 1 if spec.name == "rgb" else texture.get(spec.name).maps(**spec.parameters)


def target_loss(prediction: Tensor, target: Tensor, encoding: str, *, maps: int = 1, bits: int = 1) -> Tensor:
    """Compute the mean loss over patches.

    Scalar: the squared error, averaged over values. Bits: the binary cross-entropy, summed over the bits of a code and
    averaged over codes, which is the negative log-likelihood of a code in nats. Histogram: the Kullback-Leibler
    divergence from the target, averaged over histograms, which has the same gradient as the cross-entropy but is 0 for
    a perfect prediction.

    Args:
        prediction: [B, M, values], the decoder output; logits for bits and histogram.
        target: target with the same shape.
        encoding: ``scalar``, ``bits`` or ``histogram``.
        maps: number of histograms in the values of a patch; each histogram sums to 1.
        bits: number of bits of a code.
    """
    prediction = prediction.float()
    if encoding == "scalar":
        return F.mse_loss(prediction, target)
    if encoding == "bits":
        return bits * F.binary_cross_entropy_with_logits(prediction, target)
    shape = (*prediction.shape[:-1], maps, -1)
    log_probability = prediction.view(shape).log_softmax(dim=-1)
    target = target.view(shape)
    return (torch.special.xlogy(target, target) - target * log_probability).sum(dim=-1).mean()


def activate(prediction: Tensor, encoding: str, maps: int = 1) -> Tensor:
    """Convert the decoder's output to the scale of the target: identity, sigmoid, or a softmax per histogram."""
    if encoding == "bits":
        return prediction.float().sigmoid()
    if encoding == "histogram":
        return prediction.float().view(*prediction.shape[:-1], maps, -1).softmax(dim=-1).flatten(-2)
    return torch.as_tensor(prediction).float()


def normalize_patches(patches: Tensor) -> Tensor:
    """Normalize each patch by its own mean and variance (He et al., 2022)."""
    mean = patches.mean(dim=-1, keepdim=True)
    variance = patches.var(dim=-1, keepdim=True)
    return (patches - mean) / (variance + 1e-6).sqrt()


def patchify(maps: Tensor, patch_size: int) -> Tensor:
    """Cut maps [B, C, H, W] into patches [B, N, patch_size * patch_size * C].

    Patches are in row-major order; the values of a patch are ordered by row, column and channel.
    """
    batch, channels, height, width = maps.shape
    rows, columns = height // patch_size, width // patch_size
    cut = maps.view(batch, channels, rows, patch_size, columns, patch_size)
    return cut.permute(0, 2, 4, 3, 5, 1).reshape(batch, rows * columns, patch_size * patch_size * channels)


def unpatchify(patches: Tensor, grid: tuple[int, int], patch_size: int) -> Tensor:
    """Invert :func:`patchify`: [B, N, patch_size * patch_size * C] to [B, C, H, W]."""
    batch, _, values = patches.shape
    channels = values // patch_size**2
    cut = patches.view(batch, *grid, patch_size, patch_size, channels)
    return cut.permute(0, 5, 1, 3, 2, 4).reshape(batch, channels, grid[0] * patch_size, grid[1] * patch_size)


def patches_at(patches: Tensor, places: Tensor) -> Tensor:
    """Return the patches [B, M, values] with the indices ``places``, int64 [B, M], from patches [B, N, values]."""
    return patches.gather(1, places.unsqueeze(-1).expand(-1, -1, patches.shape[-1]))


def _join_frames(patches: Tensor, clips: int, tubelet: int) -> Tensor:
    """Join the patches of frames, [B * T, N, values], into tubelets, [B, T / tubelet * N, tubelet * values].

    Tubelets are ordered by time slice. The values of a tubelet are ordered by frame, as in VideoMAE.
    """
    frames = patches.view(clips, -1, tubelet, *patches.shape[1:])
    return frames.transpose(2, 3).flatten(3).flatten(1, 2)


def _coarsen(images: Tensor, spec: Target) -> Tensor:
    """Smooth uint8 images [B, C, H, W] and downsample them to the resolution of the target; return uint8 images."""
    if not spec.smooth and spec.scale == 1:
        return images
    made = images.float()
    if spec.smooth:
        reach = math.ceil(3 * spec.smooth)
        steps = torch.arange(-reach, reach + 1, device=images.device, dtype=torch.float32)
        kernel = torch.exp(-0.5 * (steps / spec.smooth) ** 2)
        kernel = (kernel / kernel.sum()).expand(images.shape[1], 1, -1)
        made = F.pad(made, (reach, reach, reach, reach), mode="replicate")
        made = F.conv2d(made, kernel[:, :, None, :], groups=images.shape[1])
        made = F.conv2d(made, kernel[:, :, :, None], groups=images.shape[1])
    if spec.scale > 1:
        made = F.avg_pool2d(made, spec.scale)
    return made.round().clamp(0, 255).to(torch.uint8)
