"""Build everything that a run needs from a recipe and a manifest: tasks, model, data, batch size, validation split.

Nothing is written, except decoded images in the image cache.

Example:
    assembly = assemble(load_recipe("l_ssat"), read_manifest("faces.parquet"), "cpu")
    assembly.loader.steps_per_epoch

``train.batch_size=auto`` finds the largest batch that fits into memory without running out of it. The activations that
a step keeps for its backward pass grow in proportion to the batch. They are counted on four images with torch's
saved-tensor hooks, and extrapolated.

Example:
    batch_size = fitting_batch_size(model, "cuda", image_count=20_000)
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor

from auxface.data.augment.presets import make_views
from auxface.data.augment.self_blending import blend_validation, real_faces
from auxface.data.manifest import KEY, Manifest
from auxface.data.samples import LoadedSamples, load_samples, load_training_samples
from auxface.data.shards import ShardImages
from auxface.data.video.clips import flatten_frames, unflatten_frames
from auxface.device import free_memory
from auxface.model import JointModel
from auxface.model.scoring import pooled_features
from auxface.objectives import Batch, LearnedTask, TrainingSet
from auxface.recipe import Recipe
from auxface.training.data_loader import DataLoader, make_sample_view
from auxface.training.distributed import resolve_precision
from auxface.training.sampling import sample_weights
from auxface.training.selection import Validation, video_numbers
from auxface.training.tasks import label_tensors, tasks_for

_LARGEST = 256
_PROBE = 4
# The rest is for views, targets and temporary results, which the backward pass does not need.
_USABLE_FRACTION = 0.5


def fitting_batch_size(
    model: JointModel, device: str, *, image_count: int, available_bytes: float | None = None
) -> int:
    """Return the largest batch size that fits into half of the free memory.

    Args:
        model: Model on the CPU.
        device: Device on which it will be trained: ``cpu``, ``cuda`` or ``mps``.
        image_count: Number of training images; the batch is at most an eighth of it.
        available_bytes: Free memory; None to ask the device.

    Returns:
        A power of two from 1 to 256.
    """
    options = model.recipe.train
    weight_bytes = sum(p.numel() * 4 for p in model.parameters() if p.requires_grad)
    # Weights, gradients and AdamW's two moments; the moving average and the best weights where they are kept.
    fixed_bytes = weight_bytes * (4 + 2)
    available = free_memory(device) if available_bytes is None else available_bytes
    per_image = activation_bytes(model, bf16=resolve_precision(options, device) != "no")
    in_memory = max((available * _USABLE_FRACTION - fixed_bytes) / per_image, 1) * options.accumulate
    limit = min(in_memory, _LARGEST, max(image_count // 8, 1))
    return 2 ** int(limit).bit_length() // 2


def activation_bytes(model: JointModel, *, bf16: bool) -> float:
    """Return the bytes per image that a joint step keeps for its backward pass."""
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    state = {name: value.clone() for name, value in model.state_dict().items() if value.numel() < 2**20}
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    with (
        torch.random.fork_rng(devices=[]),
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
        torch.autocast("cpu", torch.bfloat16, enabled=bf16),
    ):
        loss = model(_blank_batch(model)).loss
    del loss
    # The step has changed running statistics.
    model.load_state_dict(state, strict=False)
    return sum(size for pointer, size in kept.items() if pointer not in weights) / _PROBE


def _blank_batch(model: JointModel) -> Batch:
    clean = torch.zeros(_PROBE, *model.recipe.encoder.sample_shape, dtype=torch.uint8)
    primary = clean.float() / 255
    seeds = torch.arange(_PROBE)
    labels = {
        task.name: torch.zeros(_PROBE, dtype=torch.int64)
        if task.kind == "class"
        else torch.zeros((_PROBE, len(task.classes)) if task.kind == "multilabel" else (_PROBE,))
        for task in model.tasks
    }
    size = model.recipe.encoder.image_size
    views = {request: make_sample_view(request, clean, seeds, size) for request in model.views}
    return Batch(primary=primary, clean=clean, labels=labels, seeds=seeds, indices=seeds, views=views)


# Training images that the objectives' constant predictions are fitted to.
_VIEWS, _VIEWS_AT_ONCE = 512, 64

Reader = Callable[[Manifest, str, Recipe], LoadedSamples]


@dataclass(frozen=True)
class Assembly:
    """Everything that a run needs.

    Attributes:
        recipe: Recipe, with the batch size as a number.
        manifest: Rows that are used for training and validation, and rows of other splits.
        tasks: Tasks that the model learns.
        model: Model with its initial weights, on the CPU.
        loader: Training split.
        validation: Validation split.
        training: What the objectives may ask about the training split.
        splits: LoadedSamples rows and images of the training and validation splits.
    """

    recipe: Recipe
    manifest: Manifest
    tasks: tuple[LearnedTask, ...]
    model: JointModel
    loader: DataLoader
    validation: Validation
    training: TrainingSet
    splits: dict[str, LoadedSamples]

    def image_counts(self) -> dict[str, int]:
        """Return the number of usable images (or clips) per split."""
        return {split: len(samples.images) for split, samples in self.splits.items()}


def assemble(recipe: Recipe, manifest: Manifest, device: str, read: Reader | None = None) -> Assembly:
    """Build the model, read the images (or clips), and let the objectives prepare their tables.

    Args:
        recipe: Recipe.
        manifest: Manifest.
        device: ``cpu``, ``cuda`` or ``mps``, for ``train.batch_size=auto``.
        read: Function of (rows of a split, name of the split, recipe) that returns the usable images. By default,
            training images are large enough to crop from, and validation images have the input size.

    Raises:
        InputError: The recipe, manifest or images are not usable.
    """
    self_blend = recipe.train.self_blend
    used = manifest if self_blend is None else real_faces(manifest, self_blend)
    tasks = tasks_for(recipe, used)
    model = JointModel(recipe, tasks)
    recipe = model.recipe
    readers = {"train": read or load_training_samples, "val": read or load_samples}
    splits = {split: reader(used.only(split), split, recipe) for split, reader in readers.items()}
    if recipe.train.batch_size == "auto":
        found = fitting_batch_size(model, device, image_count=len(splits["train"].images))
        recipe = model.recipe = _with_batch_size(recipe, found)
    samples = splits["train"]
    options = recipe.train
    weights = sample_weights(options, samples.manifest.table, samples.manifest.groups, tasks)
    loader = DataLoader(
        images=samples.images,
        labels=label_tensors(samples.manifest, tasks),
        seed=recipe.seed,
        batch_size=options.images_per_step,
        augment=options.augment,
        size=recipe.encoder.image_size,
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
    return Assembly(recipe, used, tasks, model, loader, _validation(recipe, splits["val"], tasks), training, splits)


def _augmented_views(loader: DataLoader) -> Iterator[Tensor]:
    """Yield clean views of at most 512 training images, as the first epoch has them."""
    for indices in _some(loader).split(_VIEWS_AT_ONCE):
        yield loader.batch(indices, 0, torch.device("cpu")).clean


def _plain_views(loader: DataLoader) -> Iterator[Tensor]:
    """Yield the same images without augmentation, at the input size."""
    for indices in _some(loader).split(_VIEWS_AT_ONCE):
        images = torch.from_numpy(np.ascontiguousarray(loader.images[indices.numpy()]))
        frames, seeds = flatten_frames(images, indices)
        yield unflatten_frames(make_views(frames, seeds, "none", size=loader.size).clean, images)


def _some(loader: DataLoader) -> Tensor:
    return torch.from_numpy(np.unique(np.linspace(0, len(loader.images) - 1, _VIEWS).astype(np.int64)))


def _validation(recipe: Recipe, samples: LoadedSamples, tasks: tuple[LearnedTask, ...]) -> Validation:
    images, labels = samples.images, label_tensors(samples.manifest, tasks)
    if recipe.train.self_blend is not None:
        images, labels = blend_validation(images, labels, recipe.seed, recipe.train.self_blend)
    videos = None if recipe.encoder.num_frames is None else video_numbers(samples.manifest.table)
    return Validation(images, labels, videos)


def _with_batch_size(recipe: Recipe, batch_size: int) -> Recipe:
    return recipe.model_copy(update={"train": recipe.train.model_copy(update={"batch_size": batch_size})})


def agree_on_batch_size(assembly: Assembly, accelerator: Accelerator) -> Assembly:
    """Return the assembly with the smallest batch size that any process found; all processes call it together."""
    own = torch.tensor([assembly.loader.batch_size], device=accelerator.device)
    smallest = int(torch.as_tensor(accelerator.gather(own)).min())
    if smallest == assembly.loader.batch_size:
        return assembly
    assembly.model.recipe = _with_batch_size(assembly.recipe, smallest)
    return replace(assembly, recipe=assembly.model.recipe, loader=replace(assembly.loader, batch_size=smallest))


class SampleKeys(Sequence[str]):
    """The sample keys of a manifest as ``dataset/method/source/video/frame``, built when they are read.

    Args:
        manifest: Rows whose keys these are.
    """

    def __init__(self, manifest: Manifest) -> None:
        self.table = manifest.table

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, row: int) -> str:  # pyright: ignore[reportIncompatibleMethodOverride]
        return "/".join(str(self.table[column].iat[row]) for column in KEY)
