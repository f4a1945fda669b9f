"""Figures of what the auxiliary task does: picture, what was hidden, the target, what the decoder makes of it."""

import io
import textwrap
from collections.abc import Sequence
from dataclasses import replace

import matplotlib
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from auxface.encoders import VideoEncoder
from auxface.model import JointModel
from auxface.objectives import Batch, Reconstruction
from auxface.objectives.reconstruction import Rebuilt
from auxface.objectives.targets import target_maps, unpatchify
from auxface.recipe import Target

_HIDDEN_GREY = 0.82
_TITLE = 18


@torch.inference_mode()
def rebuilt_figure(model: JointModel, pictures: np.ndarray, seeds: Sequence[int]) -> bytes | None:
    """A PNG with a row per picture and, per target, what was wanted and what was rebuilt.

    The rebuilt map is the raw decoder output for every patch, hidden and visible alike; nothing of the true map is
    pasted into it.

    Args:
        model: a joint model.
        pictures: uint8 [N, 3, S, S] at the model's input size, or clips [N, T, 3, S, S], of which a frame near the
            middle is shown.
        seeds: one per picture; they decide what is hidden.

    Returns:
        None for a model without a reconstruction.
    """
    if "reconstruction" not in model.auxiliaries:
        return None
    auxiliary = model.auxiliaries["reconstruction"]
    assert isinstance(auxiliary, Reconstruction)
    device = next(model.parameters()).device
    clean = torch.from_numpy(np.ascontiguousarray(pictures)).to(device)
    batch = Batch(clean.float() / 255, clean, {}, torch.tensor(list(seeds), dtype=torch.int64, device=device))
    results = auxiliary.rebuild(model.encoder, batch)
    hidden = results[0].mask.boolean()
    if isinstance(model.encoder, VideoEncoder):
        part = clean.shape[1] // model.encoder.tubelet // 2
        clean = clean[:, part * model.encoder.tubelet]
        hidden = hidden.unflatten(1, (model.encoder.grid[0], -1))[:, part]
        results = [_of_frame(result, model.encoder, part) for result in results]
    columns: list[tuple[str, Tensor]] = [("picture", clean.float() / 255)]
    columns.append(("what the encoder saw", _masked(model, clean, hidden)))
    for result in results:
        name = result.target.name.replace("_", " ")
        columns.append((f"{name}: target", as_picture(model, result.target, result.wanted)))
        columns.append((f"{name}: rebuilt", as_picture(model, result.target, result.predicted)))
    return _draw(columns)


def as_picture(model: JointModel, target: Target, patches: Tensor) -> Tensor:
    """Target patches [B, N, values] to something to look at, float in [0, 1], [B, 3, H, W].

    RGB is put back to its scale. Bits become the expected code over the largest code, histograms the expected code of
    the patch; of a descriptor with several maps the first is shown.
    """
    encoder = model.encoder
    grid = (encoder.grid[-2], encoder.grid[-1])
    if target.name == "rgb":
        maps = unpatchify(patches, grid, encoder.patch_size) * encoder.std + encoder.mean
        return maps.clamp(0, 1)
    count = target_maps(target)
    if target.encoding == "histogram":
        bins = patches[..., : patches.shape[-1] // count]
        expected = (bins * torch.linspace(0, 1, bins.shape[-1], device=bins.device)).sum(dim=-1)
        side = encoder.patch_size
        maps = expected.view(-1, 1, *grid).repeat_interleave(side, 2).repeat_interleave(side, 3)
    else:
        maps = unpatchify(patches, grid, encoder.patch_size)
        maps = maps[:, : maps.shape[1] // count]
        if target.encoding == "bits":
            weights = 2.0 ** torch.arange(maps.shape[1], device=maps.device)
            maps = (maps * (weights / weights.sum()).view(1, -1, 1, 1)).sum(dim=1, keepdim=True)
    return maps[:, :1].clamp(0, 1).expand(-1, 3, -1, -1)


def _of_frame(result: Rebuilt, encoder: VideoEncoder, part: int) -> Rebuilt:
    """The first frame of one time slice of a clip, as of a picture."""
    wanted, predicted = (
        values.unflatten(1, (encoder.grid[0], -1))[:, part].unflatten(-1, (encoder.tubelet, -1))[..., 0, :]
        for values in (result.wanted, result.predicted)
    )
    return replace(result, wanted=wanted, predicted=predicted)


def _masked(model: JointModel, clean: Tensor, hidden: Tensor) -> Tensor:
    side = model.encoder.patch_size
    hidden = hidden.view(-1, 1, *model.encoder.grid[-2:])
    hidden = hidden.repeat_interleave(side, 2).repeat_interleave(side, 3)
    return torch.where(hidden, torch.tensor(_HIDDEN_GREY, device=clean.device), clean.float() / 255)


def _draw(columns: list[tuple[str, Tensor]]) -> bytes:
    rows = len(columns[0][1])
    with matplotlib.rc_context({"font.size": 8, "font.family": "DejaVu Sans"}):
        figure = Figure(figsize=(1.25 * len(columns), 1.25 * rows + 0.6), dpi=110)
        axes = figure.subplots(rows, len(columns), squeeze=False)
        for place, (name, pictures) in enumerate(columns):
            axes[0][place].set_title("\n".join(textwrap.wrap(name, _TITLE)))
            for row in range(rows):
                axes[row][place].imshow(pictures[row].permute(1, 2, 0).cpu().numpy(), interpolation="nearest")
                axes[row][place].axis("off")
        figure.subplots_adjust(
            left=0.005, right=0.995, bottom=0.005, top=1 - 0.6 / (1.25 * rows + 0.6), wspace=0.04, hspace=0.04
        )
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png")
    return buffer.getvalue()
