"""LAFS: self-distillation on facial landmarks (Sun et al., CVPR 2024; Part fViT, Sun and Tzimiropoulos, BMVC 2022).

A face is represented by image patches around landmarks. A global view contains the patches of all landmarks; a local
view contains the patches of a few landmarks. A student encodes all views. A teacher, which is a moving average of the
student, encodes the global views. For each global view, the student is trained to predict the teacher's distribution
over prototypes from every other view (DINO, Caron et al., 2021).

    p = softmax((teacher - center) / teacher_temperature)      q = softmax(student / student_temperature)
    loss = mean over pairs of different views of -sum p log q

The image patches are arranged in the encoder's grid, so there is one landmark for each patch of the encoder: 196 at the
default size. By default, the landmarks come from a template for aligned faces. Alternatively, five points or all points
of each image can be given.

As in :mod:`auxface.data.augment.views`, the pixel with index c covers the coordinates from c to c + 1.
"""

import copy
import math
import warnings
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from auxface.data.augment.views import View, ViewRequest
from auxface.data.random import normals, uniforms
from auxface.encoders import MaskableEncoder
from auxface.encoders.masking import Mask
from auxface.errors import InputError
from auxface.objectives.batch import Batch
from auxface.objectives.contrast.cluster_contrast import several_processes
from auxface.objectives.objective import BuildContext, Objective, StepContext, TrainingSet, TrainProgress
from auxface.objectives.registry import ObjectiveSpec, register
from auxface.objectives.resume_only import ResumeOnly
from auxface.recipe import LAFSOptions

_GLOBAL = 2
_STREAM = 401
# Center and semi-axes of the face in an aligned crop, as fractions of the side of the crop; our own choice.
_FACE_CENTER, _FACE_AXES = (0.5, 0.52), (0.40, 0.46)
# Eyes, nose and mouth corners in an aligned crop, as fractions of the side of the crop: the common reference points for
# 112 x 112 images.
FIVE_POINTS = ((0.3418, 0.4616), (0.6565, 0.4598), (0.5002, 0.6405), (0.3710, 0.8247), (0.6315, 0.8232))
# Limits for detecting collapse: distance of the entropy from 0 or from its maximum, as a fraction of the maximum, and
# the divergence.
_COLLAPSED, _EQUAL = 0.02, 0.01


class LAFS(Objective):
    """The LAFS auxiliary; its head, teacher and center are not used for predictions.

    The encoder of the student is exported.

    Args:
        options: the recipe section.
        context: the encoder for which the objective is built.

    Raises:
        InputError: the encoder is a video encoder.
    """

    def __init__(self, options: LAFSOptions, context: BuildContext) -> None:
        super().__init__()
        self.options = options
        count = _GLOBAL + options.local_views
        self.views = tuple(
            ViewRequest("contrast_crop", {"number": 21 + number, "area": (options.crop_area, 1.0)})
            for number in range(count)
        )
        if len(context.encoder.grid) != 2:
            raise InputError("auxiliaries.lafs requires images; remove auxiliaries.lafs from a recipe for video clips")
        self.grid = (int(context.encoder.grid[0]), int(context.encoder.grid[1]))
        self.patch = context.encoder.patch_size
        self.head = DINOHead(context.encoder.width, options)
        self.center = ResumeOnly(_Center(options.prototypes))
        self.teacher: ResumeOnly | None = None
        # The encoder is stored in a tuple, because nn.Module registers every module that is set as an attribute.
        self._encoder = (context.encoder,)
        self.points: Tensor | None = None
        self._sums: list[Tensor] = []
        self._health: list[tuple[float, float]] = []

    def before_training(self, training: TrainingSet) -> None:
        """Initialize the teacher as a copy of the student, and read the landmarks if they are given."""
        teacher = nn.ModuleDict({"encoder": copy.deepcopy(self._encoder[0]), "head": copy.deepcopy(self.head)})
        self.teacher = ResumeOnly(teacher)
        if self.options.points is not None:
            self.points = read_points(Path(self.options.points), training.manifest.table["path"].tolist(), self.grid)

    def before_epoch(self, training: TrainingSet, epoch: int) -> None:
        """Warn if the teacher assigned the same prototypes to every image in the last epoch."""
        entropy, divergence = (
            (sum(column) / len(self._health) for column in zip(*self._health)) if self._health else (1, 1)
        )
        self._health = []
        if divergence < _EQUAL and not _COLLAPSED < entropy < 1 - _COLLAPSED:
            warnings.warn(
                f"lafs: in epoch {epoch}, the teacher assigned the same prototypes to all views (entropy {entropy:.3f} "
                "times that of a uniform distribution), so the auxiliary has no effect; lower the learning rate",
                stacklevel=2,
            )

    def forward(self, encoder: MaskableEncoder, batch: Batch, context: StepContext) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the loss between the views of every image."""
        if self.teacher is None:
            raise RuntimeError("lafs has no teacher: before_training must be called before the first step")
        options, progress = self.options, context.progress
        frozen = progress.fraction < options.frozen_last_layer
        tiles = [self._global(batch, number) for number in range(_GLOBAL)]
        student = [self.head(encoder.forward_auxiliary(each).pooled, frozen=frozen) for each in tiles]
        for number in range(_GLOBAL, len(self.views)):
            tiled, mask = self._local(batch, number)
            student.append(self.head(encoder.encode(encoder.embed(tiled), mask).pooled, frozen=frozen))
        with torch.no_grad():
            modules: Any = self.teacher.module
            teacher = [modules["head"](modules["encoder"].forward_auxiliary(each).pooled) for each in tiles]
            center: Any = self.center.module.value
            temperature = teacher_temperature(options, progress)
            if self.training and batch.scale:
                self._sums += [each.float().sum(dim=0) for each in teacher]
                self._sums += [torch.tensor(float(len(each)), device=each.device) for each in teacher]
        loss = dino_loss(teacher, student, center, temperature, options.student_temperature)
        with torch.no_grad():
            target = ((torch.stack(teacher).float() - center) / temperature).softmax(dim=-1)
            entropy = -(target * target.clamp(min=1e-12).log()).sum(dim=-1).mean()
        largest = math.log(options.prototypes)
        logs = {"divergence": loss.detach() - entropy, "teacher_entropy": entropy / largest}
        if self.training:
            self._health.append((float(logs["teacher_entropy"]), float(logs["divergence"])))
        return loss, logs

    @torch.no_grad()
    def after_step(self, encoder: MaskableEncoder, progress: TrainProgress) -> None:
        """Update the moving averages: the teacher's weights, and the center of the teacher's outputs."""
        if self.teacher is None:
            return
        modules: Any = self.teacher.module
        center: Any = self.center.module.value
        kept = teacher_momentum(self.options, progress)
        for own, student in ((modules["encoder"], encoder), (modules["head"], self.head)):
            for mine, theirs in zip(own.parameters(), student.parameters(), strict=True):
                mine.lerp_(theirs.to(mine.dtype), 1 - kept)
            for mine, theirs in zip(own.buffers(), student.buffers(), strict=True):
                mine.copy_(theirs)
        sums = [each for each in self._sums if each.ndim]
        counts = [each for each in self._sums if not each.ndim]
        total = torch.stack(sums).sum(dim=0) if sums else torch.zeros_like(center)
        count = torch.stack(counts).sum() if counts else center.new_zeros(())
        both = torch.cat([total, count[None]]).to(center.device)
        if several_processes():
            dist.all_reduce(both)
        if both[-1] > 0:
            center.lerp_(both[:-1] / both[-1], 1 - self.options.center_momentum)
        self._sums = []

    def _global(self, batch: Batch, number: int) -> Tensor:
        view = batch.views[self.views[number]]
        return tile(sample_patches(view.images, self._landmarks(batch, view, number), self.patch), self.grid)

    def _local(self, batch: Batch, number: int) -> tuple[Tensor, Mask]:
        """Return the patches of a random subset of landmarks, arranged in the grid, and a mask of the other patches."""
        view = batch.views[self.views[number]]
        landmarks, total = self._landmarks(batch, view, number), self.grid[0] * self.grid[1]
        kept = min(max(round(self.options.local_fraction * total), 1), total - 1)
        order = uniforms(batch.seeds, total, stream=_STREAM + 50 + number).argsort(dim=1)
        chosen = order[:, :kept]
        if self.options.positions == "place":
            mask = Mask(chosen.sort(dim=1).values, order[:, kept:].sort(dim=1).values)
            return tile(sample_patches(view.images, landmarks, self.patch), self.grid), mask
        some = landmarks.gather(1, chosen.unsqueeze(-1).expand(-1, -1, 2))
        patches = sample_patches(view.images, some, self.patch)
        hidden = patches.new_zeros(len(patches), total - kept, *patches.shape[2:])
        places = torch.arange(total, device=chosen.device).expand(len(patches), -1)
        return tile(torch.cat([patches, hidden], dim=1), self.grid), Mask(places[:, :kept], places[:, kept:])

    def _landmarks(self, batch: Batch, view: View, number: int) -> Tensor:
        """Return the perturbed landmarks in pixel coordinates of a view, float32 [B, N, 2]."""
        images, device = len(view.images), view.images.device
        if self.points is None:
            points = template(self.grid).to(device).expand(images, -1, -1)
        else:
            if batch.indices is None:
                raise RuntimeError("lafs needs the indices of the images to find their landmarks")
            points = self.points.to(device)[batch.indices.to(device)]
        points = follow(points * view.source, view.affine)
        noise = normals(batch.seeds, 2 * points.shape[1], stream=_STREAM + number).view_as(points).to(device)
        return points + self.options.perturbation * view.images.shape[-1] * noise


class DINOHead(nn.Module):
    """DINO head: three linear layers, L2 normalization, and cosine similarities with prototypes (Caron et al., 2021).

    Args:
        width: dimension of the pooled features.
        options: the recipe section.
    """

    def __init__(self, width: int, options: LAFSOptions) -> None:
        super().__init__()
        hidden, bottleneck = options.head_width, options.bottleneck_width
        self.layers = nn.Sequential(
            nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU(), nn.Linear(hidden, bottleneck)
        )
        for module in self.layers:
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
        self.prototypes = nn.Parameter(torch.randn(options.prototypes, bottleneck))

    def forward(self, pooled: Tensor, *, frozen: bool = False) -> Tensor:
        """Return the cosine similarities with the prototypes, [B, K]; ``frozen`` prototypes get no gradient."""
        prototypes = self.prototypes * 1.0 if not frozen else self.prototypes.detach()
        return F.linear(F.normalize(self.layers(pooled), dim=1), F.normalize(prototypes, dim=1))


class _Center(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.value: Tensor
        self.register_buffer("value", torch.zeros(width))


def dino_loss(
    teacher: list[Tensor], student: list[Tensor], center: Tensor, teacher_temperature: float, student_temperature: float
) -> Tensor:
    """Compute the mean cross-entropy between teacher and student over pairs of different views, in float32.

    Args:
        teacher: teacher outputs for the global views, [B, K] each; they receive no gradient.
        student: student outputs for all views, [B, K] each; the global views come first, in the same order.
        center: center of the teacher outputs, [K].
        teacher_temperature: divisor of the centered teacher outputs.
        student_temperature: divisor of the student outputs.
    """
    with torch.autocast(student[0].device.type, enabled=False):
        targets = [((each.detach().float() - center) / teacher_temperature).softmax(dim=1) for each in teacher]
        logs = [(each.float() / student_temperature).log_softmax(dim=1) for each in student]
        terms = [
            -(target * log).sum(dim=1).mean()
            for number, target in enumerate(targets)
            for other, log in enumerate(logs)
            if number != other
        ]
        return torch.stack(terms).mean()


def teacher_temperature(options: LAFSOptions, progress: TrainProgress) -> float:
    """Return the teacher temperature at a step: a linear change from the first to the last value, then constant."""
    first, last = options.teacher_temperature
    done = min(progress.fraction / options.temperature_fraction, 1.0) if options.temperature_fraction else 1.0
    return first + (last - first) * done


def teacher_momentum(options: LAFSOptions, progress: TrainProgress) -> float:
    """Return the teacher's EMA momentum at a step; it increases from the configured value to 1 on a cosine schedule."""
    return 1 - (1 - options.momentum) * (math.cos(math.pi * progress.fraction) + 1) / 2


def template(grid: tuple[int, int]) -> Tensor:
    """Return landmarks that cover the face in an aligned crop, float32 [N, 2], as fractions of the crop's side.

    A regular grid is mapped to an ellipse, so that the corners of the crop have no landmarks. The order is row-major.
    """
    rows, columns = ((torch.arange(count) + 0.5) / count * 2 - 1 for count in grid)
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    across, down = x * (1 - y.square() / 2).sqrt(), y * (1 - x.square() / 2).sqrt()
    center, axes = torch.tensor(_FACE_CENTER), torch.tensor(_FACE_AXES)
    return center + axes * torch.stack([across, down], dim=-1).reshape(-1, 2)


def points_from_five(five: Tensor, grid: tuple[int, int]) -> Tensor:
    """Map the template to five points of each image by the least-squares affine map; return [B, N, 2].

    Args:
        five: eyes, nose and mouth corners, the left one of each pair first, [B, 5, 2], as fractions of the side.
        grid: the encoder's grid.
    """
    ones = torch.ones(5, 1)
    known = torch.cat([torch.tensor(FIVE_POINTS), ones], dim=1)
    maps = torch.linalg.lstsq(known.expand(len(five), -1, -1), five).solution
    points = template(grid)
    return torch.cat([points, torch.ones(len(points), 1)], dim=1) @ maps


def follow(points: Tensor, affine: Tensor) -> Tensor:
    """Map points of the source image, [B, N, 2] in pixels, to a view.

    ``affine`` [B, 2, 3] is the affine map from the view to the source image.
    """
    return (points - affine[:, None, :, 2]) @ torch.linalg.inv(affine[:, :, :2].float()).transpose(1, 2)


def sample_patches(images: Tensor, points: Tensor, side: int) -> Tensor:
    """Cut a square patch around each point, with bilinear interpolation, [B, N, 3, side, side].

    Args:
        images: float [B, 3, H, W]; positions outside the image have the value of the nearest pixel.
        points: float [B, N, 2], x and y in pixels.
        side: side length of a patch in pixels.
    """
    offsets = torch.arange(side, device=points.device) - (side - 1) / 2
    count, (height, width) = points.shape[1], images.shape[2:]
    x = points[:, :, None, None, 0] + offsets[None, None, None, :]
    y = points[:, :, None, None, 1] + offsets[None, None, :, None]
    grid = torch.stack(torch.broadcast_tensors(2 * x / width - 1, 2 * y / height - 1), dim=-1)
    grid = grid.reshape(len(images), count * side, side, 2).to(images.dtype)
    cut = F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return cut.view(len(images), images.shape[1], count, side, side).transpose(1, 2)


def tile(patches: Tensor, grid: tuple[int, int]) -> Tensor:
    """Arrange patches [B, N, 3, p, p] row by row in images [B, 3, rows * p, columns * p]."""
    batch, _, channels, side, _ = patches.shape
    laid = patches.view(batch, *grid, channels, side, side).permute(0, 3, 1, 4, 2, 5)
    return laid.reshape(batch, channels, grid[0] * side, grid[1] * side)


def read_points(path: Path, images: list[str], grid: tuple[int, int]) -> Tensor:
    """Read the landmarks of images, float32 [N, rows * columns, 2], as fractions of the image's central square.

    Args:
        path: CSV file with the columns path, x1, y1, x2, y2, ...; five points, or one point for each patch of the grid.
        images: image paths as in the manifest.
        grid: the encoder's grid.

    Raises:
        InputError: the file is not a table with these columns, or an image has no row.
    """
    # Imported here because it imports pandas, which inference does not need.
    import pandas as pd

    if not path.is_file():
        raise InputError(f"auxiliaries.lafs.points: {path}: no such file")
    try:
        table = pd.read_csv(path, dtype={"path": str})
    except ValueError as error:
        raise InputError(f"auxiliaries.lafs.points: {path}: not a table ({str(error).splitlines()[0]})") from None
    count, all_points = (len(table.columns) - 1) // 2, grid[0] * grid[1]
    names = ["path", *(f"{axis}{number}" for number in range(1, count + 1) for axis in "xy")]
    if list(table.columns) != names or count not in (5, all_points):
        raise InputError(
            f"auxiliaries.lafs.points: {path}: expected the columns path, x1, y1 to x5, y5, or to x{all_points}, "
            f"y{all_points}; found {', '.join(map(str, table.columns[:6]))}"
        )
    rows = table.drop_duplicates("path").set_index("path")
    missing = next((image for image in images if image not in rows.index), None)
    if missing is not None:
        raise InputError(f"auxiliaries.lafs.points: {path}: no landmarks for the training image '{missing}'")
    points = torch.tensor(rows.loc[images].to_numpy(dtype="float32")).view(len(images), count, 2)
    if not points.isfinite().all():
        raise InputError(f"auxiliaries.lafs.points: {path}: a coordinate is missing or infinite")
    return points_from_five(points, grid) if count == 5 and all_points != 5 else points


register(ObjectiveSpec("lafs", LAFSOptions, LAFS))
