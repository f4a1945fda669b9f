"""From a recipe and a manifest to everything that a training needs; nothing is written."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from accelerate import Accelerator

from auxface.data.manifest import KEY, Manifest
from auxface.data.pseudo_forgeries import blend_validation, real_faces
from auxface.data.shards import ShardPictures
from auxface.data.usable import Usable, usable_samples
from auxface.model import JointModel
from auxface.model.scoring import pooled_features
from auxface.objectives import Task, TrainingSet
from auxface.recipe import Recipe
from auxface.training.batch_size import fitting_batch_size
from auxface.training.feed import Feed
from auxface.training.sampling import balance_for
from auxface.training.tasks import label_tensors, tasks_for
from auxface.training.validation import Validation
from auxface.training.video_level import video_numbers

Reader = Callable[[Manifest, str, Recipe], Usable]


@dataclass(frozen=True)
class Assembly:
    """All parts of a training.

    Attributes:
        recipe: with the batch size as a number.
        manifest: the rows that are trained and validated on, and others.
        tasks: what is learned.
        model: with its first weights, on the CPU.
        feed: the training split.
        validation: the validation split.
        training: what objectives may ask about the training split.
        parts: usable rows and pictures by split.
    """

    recipe: Recipe
    manifest: Manifest
    tasks: tuple[Task, ...]
    model: JointModel
    feed: Feed
    validation: Validation
    training: TrainingSet
    parts: dict[str, Usable]


def assemble(recipe: Recipe, given: Manifest, device: str, read: Reader = usable_samples) -> Assembly:
    """Build the model, read the pictures (or clips) and let the objectives make their tables.

    Args:
        recipe: the recipe.
        given: the manifest.
        device: ``cpu``, ``cuda`` or ``mps``, for ``train.batch_size=auto``.
        read: gives the usable pictures of a split's rows.

    Raises:
        InputError: anything wrong with recipe, manifest or pictures.
    """
    blending = recipe.train.self_blend
    manifest = given if blending is None else real_faces(given, blending)
    tasks = tasks_for(recipe, manifest)
    model = JointModel(recipe, tasks)
    size = recipe.encoder.image_size
    parts = {split: read(manifest.only(split), split, recipe) for split in ("train", "val")}
    if recipe.train.batch_size == "auto":
        found = fitting_batch_size(model, device, most=len(parts["train"].pictures))
        recipe = recipe.model_copy(update={"train": recipe.train.model_copy(update={"batch_size": found})})
        model.recipe = recipe
    seen = parts["train"]
    training = TrainingSet(seen.manifest, lambda: pooled_features(model, seen.pictures))
    model.before_training(training)
    labels = {split: label_tensors(part.manifest, tasks) for split, part in parts.items()}
    options = recipe.train
    balance = balance_for(options, seen.manifest.table, seen.manifest.groups, tasks)
    feed = Feed(
        seen.pictures,
        labels["train"],
        recipe.seed,
        options.pictures_per_step,
        options.augment,
        size,
        blending,
        options.mixup,
        options.cutmix,
        model.views,
        Keys(seen.manifest),
        balance.chances,
        balance.weights,
        balance.shares,
        torch.from_numpy(seen.pictures.shards) if isinstance(seen.pictures, ShardPictures) else None,
    )
    pictures = parts["val"].pictures
    if blending is not None:
        pictures, labels["val"] = blend_validation(pictures, labels["val"], recipe.seed, blending)
    videos = None if recipe.encoder.num_frames is None else video_numbers(parts["val"].manifest.table)
    validation = Validation(pictures, labels["val"], videos)
    return Assembly(recipe, manifest, tasks, model, feed, validation, training, parts)


def with_agreed_batch_size(parts: Assembly, accelerator: Accelerator) -> Assembly:
    """The same with the least batch size that any process has found to fit; called by all of them together."""
    own = torch.tensor([parts.feed.batch_size], device=accelerator.device)
    least = int(torch.as_tensor(accelerator.gather(own)).min())
    if least == parts.feed.batch_size:
        return parts
    train = parts.recipe.train.model_copy(update={"batch_size": least})
    parts.model.recipe = parts.recipe.model_copy(update={"train": train})
    return replace(parts, recipe=parts.model.recipe, feed=replace(parts.feed, batch_size=least))


class Keys(Sequence[str]):
    """The sample keys of a manifest's rows as ``dataset/method/source/video/frame``, put together when asked for."""

    def __init__(self, manifest: Manifest) -> None:
        self.table = manifest.table

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, row: int) -> str:  # pyright: ignore[reportIncompatibleMethodOverride]
        return "/".join(str(self.table[column].iat[row]) for column in KEY)
