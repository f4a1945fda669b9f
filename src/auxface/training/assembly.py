"""From a recipe and a manifest to everything that a training needs; nothing is written.

``train.batch_size=auto``: the largest batch that fits, found without ever running out of memory.

What a step keeps for its gradients grows in proportion to the batch; it is counted on small batches and reckoned up.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from accelerate import Accelerator

from auxface.data.augment.self_blending import blend_validation, real_faces
from auxface.data.manifest import KEY, Manifest
from auxface.data.samples import LoadedSamples, load_samples, load_training_samples
from auxface.data.shards import ShardImages
from auxface.device import free_memory
from auxface.model import JointModel
from auxface.model.scoring import pooled_features
from auxface.objectives import Batch, Task, TrainingSet
from auxface.recipe import Recipe
from auxface.training.data_loader import Feed
from auxface.training.distributed import resolve_precision
from auxface.training.sampling import balance_for
from auxface.training.selection import Validation, video_numbers
from auxface.training.tasks import label_tensors, tasks_for

_LARGEST = 256
_PROBE = 4
_SHARE = 0.5


def fitting_batch_size(model: JointModel, device: str, *, most: int, room: float | None = None) -> int:
    """The largest power of two up to 256 whose step fits into half the free memory, and at most an eighth of the data.

    Half, since views, targets and short-lived results come on top of what gradients need.

    Args:
        model: the model, on the CPU.
        device: where it will be trained: ``cpu``, ``cuda`` or ``mps``.
        most: images there are to learn from.
        room: free bytes; None: asked of the device.
    """
    options = model.recipe.train
    weights = sum(p.numel() * 4 for p in model.parameters() if p.requires_grad)
    # Gradients and two moments beside the weights, an average and the best weights where they are kept.
    fixed = weights * (4 + 2)
    room = free_memory(device) if room is None else room
    bf16 = resolve_precision(options, device) != "no"
    each = bytes_per_image(model, bf16=bf16)
    limit = min(max((room * _SHARE - fixed) / each, 1) * options.accumulate, _LARGEST, max(most // 8, 1))
    return 2 ** int(limit).bit_length() // 2


def bytes_per_image(model: JointModel, *, bf16: bool) -> float:
    """What a joint step keeps until its gradients are made, per image, in bytes."""
    seen: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        seen[storage.data_ptr()] = storage.nbytes()
        return tensor

    state = {name: value.clone() for name, value in model.state_dict().items() if value.numel() < 2**20}
    clean = torch.zeros(_PROBE, *model.recipe.encoder.sample_shape, dtype=torch.uint8)
    primary = clean.float() / 255
    seeds = torch.arange(_PROBE)
    labels = {
        task.name: torch.zeros(_PROBE, dtype=torch.int64)
        if task.kind == "class"
        else torch.zeros((_PROBE, len(task.classes)) if task.kind == "multilabel" else (_PROBE,))
        for task in model.tasks
    }
    further = dict.fromkeys(model.views, primary)
    batch = Batch(primary, clean, labels, seeds, seeds, further)
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    with (
        torch.random.fork_rng(devices=[]),
        torch.autograd.graph.saved_tensors_hooks(keep, lambda kept: kept),
        torch.autocast("cpu", torch.bfloat16, enabled=bf16),
    ):
        loss, _ = model(batch)
    del loss
    model.load_state_dict(state, strict=False)
    return sum(size for place, size in seen.items() if place not in weights) / _PROBE


Reader = Callable[[Manifest, str, Recipe], LoadedSamples]


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
        parts: usable rows and images by split.
    """

    recipe: Recipe
    manifest: Manifest
    tasks: tuple[Task, ...]
    model: JointModel
    feed: Feed
    validation: Validation
    training: TrainingSet
    parts: dict[str, LoadedSamples]


def assemble(recipe: Recipe, given: Manifest, device: str, read: Reader | None = None) -> Assembly:
    """Build the model, read the images (or clips) and let the objectives make their tables.

    Args:
        recipe: the recipe.
        given: the manifest.
        device: ``cpu``, ``cuda`` or ``mps``, for ``train.batch_size=auto``.
        read: loads the images of a split; default: training images large enough to crop from, validation images at
            the input size.

    Raises:
        InputError: anything wrong with recipe, manifest or images.
    """
    blending = recipe.train.self_blend
    manifest = given if blending is None else real_faces(given, blending)
    tasks = tasks_for(recipe, manifest)
    model = JointModel(recipe, tasks)
    size = recipe.encoder.image_size
    readers = {"train": read or load_training_samples, "val": read or load_samples}
    parts = {split: reader(manifest.only(split), split, recipe) for split, reader in readers.items()}
    if recipe.train.batch_size == "auto":
        found = fitting_batch_size(model, device, most=len(parts["train"].images))
        recipe = recipe.model_copy(update={"train": recipe.train.model_copy(update={"batch_size": found})})
        model.recipe = recipe
    seen = parts["train"]
    training = TrainingSet(seen.manifest, lambda: pooled_features(model, seen.images))
    model.before_training(training)
    labels = {split: label_tensors(part.manifest, tasks) for split, part in parts.items()}
    options = recipe.train
    balance = balance_for(options, seen.manifest.table, seen.manifest.groups, tasks)
    feed = Feed(
        seen.images,
        labels["train"],
        recipe.seed,
        options.images_per_step,
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
        torch.from_numpy(seen.images.shards) if isinstance(seen.images, ShardImages) else None,
    )
    images = parts["val"].images
    if blending is not None:
        images, labels["val"] = blend_validation(images, labels["val"], recipe.seed, blending)
    videos = None if recipe.encoder.num_frames is None else video_numbers(parts["val"].manifest.table)
    validation = Validation(images, labels["val"], videos)
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
