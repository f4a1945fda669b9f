"""Build everything that a run needs from a recipe and a manifest: tasks, model, data, batch size and splits.

The only files written are decoded images in the image cache.

Example::

    assembly = assemble(load_recipe("l_ssat"), read_manifest("faces.parquet"), "cpu")
    assembly.loader.steps_per_epoch
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor

from auxface.data.augment.presets import make_views
from auxface.data.augment.self_blending import blend_validation, real_faces
from auxface.data.manifest import KEY, Manifest
from auxface.data.samples import LoadedSamples, load_samples, load_training_samples
from auxface.data.shards import ShardImages
from auxface.model import JointModel
from auxface.model.scoring import pooled_features
from auxface.objectives import LearnedTask, TrainingSet
from auxface.recipe import Recipe
from auxface.training.data_loader import DataLoader
from auxface.training.measured_choices import choose_speed
from auxface.training.performance import fitting_batch_size
from auxface.training.sampling import sample_weights
from auxface.training.selection import Validation, video_numbers
from auxface.training.tasks import label_tensors, tasks_for, with_selection

# Number of training images on which the constant predictions of the objectives are fitted, and number of images per
# batch.
_VIEWS, _VIEWS_AT_ONCE = 512, 64
# Batch size of the data loader until ``batch_size=auto`` is resolved.
_PROVISIONAL_BATCH = 64
# Processes exchange these values as indices.
_PRECISIONS, _ATTENTIONS = ("auto", "fp32", "bf16", "fp16"), ("auto", "fused", "plain")

Reader = Callable[[Manifest, str, Recipe], LoadedSamples]


@dataclass(frozen=True)
class Assembly:
    """The inputs of a training run: recipe, data, model and loaders.

    Attributes:
        recipe: recipe in which every ``auto`` is replaced by a value.
        manifest: rows of all splits, including rows that training and validation do not use.
        tasks: tasks of the model.
        model: model with its initial weights, on the CPU.
        loader: loader of the training split.
        validation: images and labels of the validation split.
        training: access to the training split for the objectives.
        splits: rows and images of the training and validation splits.
        trial: record of the speed trial; see :func:`auxface.training.measured_choices.choose_speed`.
    """

    recipe: Recipe
    manifest: Manifest
    tasks: tuple[LearnedTask, ...]
    model: JointModel
    loader: DataLoader
    validation: Validation
    training: TrainingSet
    splits: dict[str, LoadedSamples]
    trial: dict[str, Any]

    def image_counts(self) -> dict[str, int]:
        """Return the number of usable images (or clips) per split."""
        return {split: len(samples.images) for split, samples in self.splits.items()}


def assemble(recipe: Recipe, manifest: Manifest, device: str, read: Reader | None = None) -> Assembly:
    """Build the model, read the images (or clips), and let the objectives prepare their tables.

    Args:
        recipe: the recipe of the run.
        manifest: manifest whose training and validation rows are read.
        device: device on which values for ``auto`` are timed: ``cpu``, ``cuda`` or ``mps``.
        read: callable that takes (rows of a split, name of the split, recipe) and returns the usable images. By
            default, training images are read large enough for crops, and validation images at the input size.

    Raises:
        InputError: the recipe, the manifest or the images are invalid.
    """
    self_blend = recipe.train.self_blend
    used = manifest if self_blend is None else real_faces(manifest, self_blend)
    tasks = tasks_for(recipe, used)
    model = JointModel(with_selection(recipe, tasks), tasks)
    recipe = model.recipe
    readers = {"train": read or load_training_samples, "val": read or load_samples}
    splits = {split: reader(used.only(split), split, recipe) for split, reader in readers.items()}
    samples = splits["train"]
    options = recipe.train
    weights = sample_weights(options, samples.manifest.table, samples.manifest.groups, tasks)
    loader = DataLoader(
        images=samples.images,
        labels=label_tensors(samples.manifest, tasks),
        seed=recipe.seed,
        batch_size=_PROVISIONAL_BATCH if options.batch_size == "auto" else options.images_per_step,
        augment=options.augment,
        mirror=options.mirror,
        size=recipe.encoder.image_size,
        standardization=(recipe.encoder.mean, recipe.encoder.std),
        self_blend=self_blend,
        mixup=options.mixup,
        cutmix=options.cutmix,
        views=model.views,
        keys=SampleKeys(samples.manifest),
        draw_weights=weights.draw,
        loss_weights=weights.loss,
        group_dro=weights.group_dro,
        mixture=weights.mixture,
        shards=torch.from_numpy(samples.images.shards) if isinstance(samples.images, ShardImages) else None,
    )
    training = TrainingSet(
        samples.manifest,
        lambda: pooled_features(model, samples.images),
        augmented=lambda: _augmented_views(loader),
        plain=lambda: _plain_views(loader),
    )
    model.before_training(training)
    options, trial = choose_speed(model, loader, device)
    recipe = model.recipe = recipe.model_copy(update={"train": options})
    if options.batch_size == "auto":
        found = fitting_batch_size(model, device, image_count=len(samples.images))
        recipe = model.recipe = _with_train(recipe, batch_size=found)
        loader = replace(loader, batch_size=found)
    validation = _validation(recipe, splits["val"], tasks)
    return Assembly(recipe, used, tasks, model, loader, validation, training, splits, trial)


def agree_on_choices(assembly: Assembly, accelerator: Accelerator) -> Assembly:
    """Return the assembly with the first process's choices for ``auto`` and the smallest batch size of all processes.

    All processes must call this function together.
    """
    options, device = assembly.recipe.train, accelerator.device
    own = [_PRECISIONS.index(options.precision), _ATTENTIONS.index(options.attention), bool(options.channels_last)]
    gathered = torch.as_tensor(accelerator.gather(torch.tensor([*own, assembly.loader.batch_size], device=device)))
    rows = gathered.view(-1, len(own) + 1)
    precision, attention, channels_last = rows[0, :-1].tolist()
    batch_size = int(rows[:, -1].min())
    agreed = _with_train(
        assembly.recipe,
        precision=_PRECISIONS[precision],
        attention=_ATTENTIONS[attention],
        channels_last=bool(channels_last),
        batch_size=batch_size,
    )
    if agreed == assembly.recipe:
        return assembly
    assembly.model.recipe = agreed
    return replace(assembly, recipe=agreed, loader=replace(assembly.loader, batch_size=batch_size))


class SampleKeys(Sequence[str]):
    """A lazy sequence of the sample keys of a manifest, ``dataset/method/source/video/frame``.

    Args:
        manifest: manifest whose rows the keys identify.
    """

    def __init__(self, manifest: Manifest) -> None:
        self.table = manifest.table

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, row: int) -> str:  # pyright: ignore[reportIncompatibleMethodOverride]
        return "/".join(str(self.table[column].iat[row]) for column in KEY)


def _augmented_views(loader: DataLoader) -> Iterator[Tensor]:
    """Yield the clean views of at most 512 training images in the first epoch."""
    for indices in _some(loader).split(_VIEWS_AT_ONCE):
        yield loader.batch(indices, 0, torch.device("cpu")).clean


def _plain_views(loader: DataLoader) -> Iterator[Tensor]:
    """Yield the same images without augmentation, at the input size."""
    for indices in _some(loader).split(_VIEWS_AT_ONCE):
        images = torch.from_numpy(np.ascontiguousarray(loader.images[indices.numpy()]))
        yield make_views(images, indices, "none", size=loader.size).clean


def _some(loader: DataLoader) -> Tensor:
    return torch.from_numpy(np.unique(np.linspace(0, len(loader.images) - 1, _VIEWS).astype(np.int64)))


def _validation(recipe: Recipe, samples: LoadedSamples, tasks: tuple[LearnedTask, ...]) -> Validation:
    images, labels = samples.images, label_tensors(samples.manifest, tasks)
    if recipe.train.self_blend is not None:
        images, labels = blend_validation(images, labels, recipe.seed, recipe.train.self_blend)
    videos = None if recipe.encoder.num_frames is None else video_numbers(samples.manifest.table)
    return Validation(images, labels, videos)


def _with_train(recipe: Recipe, **keys: Any) -> Recipe:
    return recipe.model_copy(update={"train": recipe.train.model_copy(update=keys)})
