"""Targets of the masked autoencoder: RGB or encoded texture maps of the clean view, cut into patches."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from auxface import texture
from auxface.errors import InputError
from auxface.recipe import Target
from auxface.texture.tiles import empty_real_maps


def patchify(maps: Tensor, patch_size: int) -> Tensor:
    """Cut maps into patches: [B, C, H, W] to [B, N, patch_size * patch_size * C].

    Patches are in row-major order; the values of a patch run by row, column and channel.
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


def join_frames(patches: Tensor, clips: int, tubelet: int) -> Tensor:
    """Join the patches of frames, [B * T, N, values], to tubelets, [B, T / tubelet * N, tubelet * values].

    Tubelets are numbered time slice by time slice. The values of a tubelet run frame by frame, as in VideoMAE.
    """
    frames = patches.view(clips, -1, tubelet, *patches.shape[1:])
    return frames.transpose(2, 3).flatten(3).flatten(1, 2)


def values_per_patch(target: Target, patch_size: int) -> int:
    """Return the number of values that the decoder predicts for one patch.

    Raises:
        InputError: an unknown descriptor, parameter or encoding, or a patch size that is not a multiple of the
            descriptor's cells.
    """
    if target.name == "rgb":
        return 3 * (_coarse_patch(target, patch_size)) ** 2
    patch_size = _coarse_patch(target, patch_size)
    try:
        channels = texture.target_channels(target.name, target.encoding, **target.parameters)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"auxiliary.target: {error.args[0] if error.args else error}") from None
    if target.encoding == "histogram":
        return channels
    cell = _cell(target)
    if patch_size % cell:
        raise InputError(
            f"auxiliary.target {target.name}: its cells of {cell} pixels must divide patch_size {patch_size}"
        )
    return channels * (patch_size // cell) ** 2


def target_patches(
    clean: Tensor, target: Target, patch_size: int, mean: Tensor, std: Tensor, places: Tensor | None = None
) -> Tensor:
    """Compute the target of every patch from the clean view.

    Args:
        clean: uint8 [B, 3, H, W], or video clips [B, T, 3, H, W].
        target: which target; texture maps are encoded as ``docs/texture.md`` describes.
        patch_size: side of a patch in pixels.
        mean: [1, 3, 1, 1], which standardizes RGB together with ``std``.
        std: [1, 3, 1, 1].
        places: int64 [B, M], numbers of patches of images; None: all patches.

    Returns:
        float32 [B, N, values]; for video clips that of every frame, [B * T, N, values]; with ``places`` [B, M, values].
    """
    frames = clean.flatten(0, 1) if clean.ndim == 5 else clean
    patch_size = _coarse_patch(target, patch_size)
    if target.name == "rgb":
        maps = (_coarsen(frames, target).float() / 255 - mean) / std
    else:
        gray = _coarsen(torch.as_tensor(texture.gray(frames)).unsqueeze(1), target).squeeze(1)
        if describes_clips(target):
            planes = texture.describe(gray.view(*clean.shape[:2], *gray.shape[1:]), target.name, **target.parameters)
            # [B, planes, T, H, W]: a frame has the codes of its pixels in every plane.
            maps = torch.as_tensor(planes).transpose(1, 2).flatten(0, 1)
        else:
            maps = torch.as_tensor(texture.describe(gray, target.name, **target.parameters))
    if places is None:
        return _cut(maps, target, patch_size)
    # One image at a time on a CPU, so that patches which are not needed never leave its cache.
    group = 1 if maps.device.type == "cpu" else max(len(maps), 1)
    picked = empty_real_maps((*places.shape, values_per_patch(target, patch_size * target.scale)), maps.device)
    for few, at, room in zip(maps.split(group), places.split(group), picked.split(group), strict=True):
        patches = _cut(few, target, patch_size)
        rows = at + patches.shape[1] * torch.arange(len(at), device=at.device)[:, None]
        torch.index_select(patches.flatten(0, 1), 0, rows.flatten(), out=room.view(-1, patches.shape[2]))
    return picked


def _coarse_patch(target: Target, patch_size: int) -> int:
    """Return the side of a patch on the target's own grid of pixels."""
    if patch_size % target.scale:
        raise InputError(f"auxiliary.target {target.name}: scale {target.scale} must divide patch_size {patch_size}")
    return patch_size // target.scale


def _coarsen(images: Tensor, target: Target) -> Tensor:
    """Smooth uint8 images [B, C, H, W] and reduce them to the target's own grid of pixels, as uint8."""
    if not target.smooth and target.scale == 1:
        return images
    made = images.float()
    if target.smooth:
        reach = math.ceil(3 * target.smooth)
        steps = torch.arange(-reach, reach + 1, device=images.device, dtype=torch.float32)
        kernel = torch.exp(-0.5 * (steps / target.smooth) ** 2)
        kernel = (kernel / kernel.sum()).expand(images.shape[1], 1, -1)
        made = F.pad(made, (reach, reach, reach, reach), mode="replicate")
        made = F.conv2d(made, kernel[:, :, None, :], groups=images.shape[1])
        made = F.conv2d(made, kernel[:, :, :, None], groups=images.shape[1])
    if target.scale > 1:
        made = F.avg_pool2d(made, target.scale)
    return made.round().clamp(0, 255).to(torch.uint8)


def _cut(maps: Tensor, target: Target, patch_size: int) -> Tensor:
    """Encode a target's maps and cut them into patches, [B, N, values]."""
    if target.name == "rgb":
        return patchify(maps, patch_size)
    if target.encoding == "histogram":
        patch = {"patch": patch_size}
        encoded = texture.encode_target(maps, target.name, "histogram", **patch, **target.parameters)
        return torch.as_tensor(encoded).flatten(1, 2).float()
    encoded = torch.as_tensor(texture.encode_target(maps, target.name, target.encoding, **target.parameters))
    if encoded.ndim > 4:
        # A histogram descriptor has its values last: [B, rows, columns, ...] to [B, values, rows, columns].
        encoded = encoded.flatten(3).permute(0, 3, 1, 2)
    # Bits are moved as bytes and converted once they are in place.
    return patchify(encoded.contiguous(), patch_size // _cell(target)).float()


def describes_clips(target: Target) -> bool:
    """Return whether a target is computed from several frames."""
    return target.name != "rgb" and texture.get(target.name).input == "clip"


def target_maps(target: Target) -> int:
    """Return the number of maps whose values make up a patch of the target; 1 for RGB."""
    return 1 if target.name == "rgb" else texture.get(target.name).maps(**target.parameters)


def bits_per_code(target: Target) -> int:
    """Return the number of bits of a code; 1 where the target is not encoded as bits."""
    if target.encoding != "bits":
        return 1
    return texture.target_channels(target.name, "bits", **target.parameters) // target_maps(target)


def _cell(target: Target) -> int:
    return texture.get(target.name).describe_output(**target.parameters).cell


def normalize_patches(patches: Tensor) -> Tensor:
    """Normalize each patch by its own mean and variance (He et al., 2022)."""
    mean = patches.mean(dim=-1, keepdim=True)
    variance = patches.var(dim=-1, keepdim=True)
    return (patches - mean) / (variance + 1e-6).sqrt()


def target_loss(prediction: Tensor, target: Tensor, encoding: str, *, maps: int = 1, bits: int = 1) -> Tensor:
    """Compute the mean loss over patches.

    Scalar: the squared error, averaged over values. Bits: the binary cross-entropy, summed over the bits of a code and
    averaged over codes, which is the negative log-likelihood of a code in nats. Histogram: the Kullback-Leibler
    divergence from the target, averaged over histograms; its gradient is that of the cross-entropy, and it is 0 for a
    perfect prediction.

    Args:
        prediction: [B, M, values]; logits for bits and histogram.
        target: the same shape.
        encoding: ``scalar``, ``bits`` or ``histogram``.
        maps: number of histograms in the values of a patch, each of sum 1.
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
