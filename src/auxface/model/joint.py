"""The joint model: one encoder trained by several objectives at once (SSAT, Das et al., 2023).

    loss = primary_weight * primary + (1 - primary_weight) * sum of weight * auxiliary

``primary_weight`` multiplies the *supervised* loss; the published value is 0.1. An objective with weight zero is not
run, and each part draws its initial weights from its own seed, so the training steps of a joint model with
``primary_weight`` 1 are the same as the steps of a supervised model.
"""

import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from auxface.data.augment.views import ViewRequest
from auxface.encoders import Features, build_encoder
from auxface.encoders.pretrained import initial_weights_file
from auxface.model.balance import PRIMARY, GradientMeter, LearnedBalance, ObjectiveSchedule, is_measured
from auxface.model.config import ModelConfig, TaskRecord
from auxface.model.directory import read_model, write_model_files
from auxface.model.weights import load_initial_weights
from auxface.objectives import (
    Batch,
    BuildContext,
    LearnedTask,
    Objective,
    Reconstruction,
    StepContext,
    TrainingSet,
    TrainProgress,
)
from auxface.objectives.batch import check_texture_input
from auxface.objectives.classification import FUSIONS
from auxface.objectives.reconstruction.decoder import decoder_size, with_decoder_size
from auxface.objectives.registry import build_auxiliary, build_primary, check_auxiliaries
from auxface.objectives.resume_only import load_resume_state, resume_state
from auxface.output_folder import added_files
from auxface.recipe import Recipe
from auxface.recipe.objectives import RECONSTRUCTION

# Seeds of the model's parts; the seed of any other auxiliary is derived from its name.
_ENCODER, _PRIMARY, _RECONSTRUCTION, _FUSION = range(4)
_METER = "gradient_meter"


class JointLoss(NamedTuple):
    """The result of a forward pass of :class:`JointModel`.

    Attributes:
        loss: weighted sum of the losses of all objectives.
        logs: detached, unweighted losses of every objective, as ``objective.name``.
        sample_losses: float32 [B], the primary loss of each image before any weighting; None if the primary objective
            was not run.
    """

    loss: Tensor
    logs: dict[str, Tensor]
    sample_losses: Tensor | None


class JointModel(nn.Module):
    """A model with a shared encoder, a primary objective and auxiliary objectives.

    Args:
        recipe: recipe that configures the encoder and the objectives.
        tasks: tasks on which the model is trained, with their class names.

    Raises:
        InputError: the encoder, an objective or a target of the recipe cannot be built.

    Example:
        >>> import auxface
        >>> model = auxface.JointModel.from_pretrained("runs/a")
        >>> [task.name for task in model.tasks]
        ['emotion']
    """

    def __init__(self, recipe: Recipe, tasks: Sequence[LearnedTask]) -> None:
        super().__init__()
        self.recipe = recipe = check_auxiliaries(recipe)
        check_texture_input(recipe.texture_map)
        with _seeded(recipe.seed, _ENCODER):
            self.encoder = build_encoder(recipe.encoder)
        initial = initial_weights_file(recipe.encoder)
        if initial is not None:
            load_initial_weights(self.encoder, initial)
        recipe = self.recipe = with_decoder_size(recipe, self.encoder)
        # The order of the parts determines the order of the optimizer's parameters, which must not change when a run is
        # resumed.
        self.auxiliaries = nn.ModuleDict()
        self.fusion = self._make_fusion()
        width = self.encoder.width if self.fusion is None else self.fusion.width
        assert isinstance(width, int)
        context = BuildContext(self.encoder, tuple(tasks), recipe.texture_map, width)
        for name, options in recipe.all_auxiliaries.items():
            seed = _RECONSTRUCTION if name == RECONSTRUCTION else zlib.crc32(name.encode())
            with _seeded(recipe.seed, seed):
                self.auxiliaries[name] = build_auxiliary(name, options, context)
        with _seeded(recipe.seed, _PRIMARY):
            self.primary = build_primary(recipe.primary.kind, recipe.primary, context)
        objectives = (PRIMARY, *self.auxiliaries)
        learned = recipe.balance.kind == "learned" and recipe.trains_auxiliaries
        self.balance = LearnedBalance(objectives) if learned else None
        self.gradient_meter: GradientMeter | None = GradientMeter(objectives)
        self._schedule = ObjectiveSchedule(recipe)
        self._weights: dict[str, float] = {}

    @property
    def tasks(self) -> tuple[LearnedTask, ...]:
        """The tasks that the model predicts, in order; for identity labels, the model returns only embeddings."""
        return self.primary.predicted_tasks

    def forward(self, batch: Batch, progress: TrainProgress | None = None) -> JointLoss:
        """Compute the joint loss of a batch.

        Args:
            batch: the batch of the step.
            progress: position of the step in the training run; None for the first step.
        """
        context = StepContext(self.encoder, batch.primary, progress)
        factors = self._schedule.weights(context.progress)
        losses: dict[str, Tensor] = {}
        logs: dict[str, Tensor] = {}
        sample_losses = None
        if factors[PRIMARY] > 0:
            loss, each, sample_losses = self.primary(self._pooled(batch, context), batch)
            losses[PRIMARY] = loss
            logs |= {f"{PRIMARY}.{name}": value for name, value in each.items()}
        for name, auxiliary in self._auxiliaries():
            if factors[name] > 0:
                loss, each = auxiliary(self.encoder, batch, context)
                losses[name] = loss * batch.scale
                logs |= {f"{name}.{part}": value * batch.scale for part, value in each.items()}
        if self._measures(losses, context.progress):
            assert self.gradient_meter is not None
            self.gradient_meter.accumulate(losses, self.encoder.shared_parameters())
        total, weights = self._weighted(losses, factors)
        if any(self._running()):
            logs |= {f"{name}.loss": loss.detach() for name, loss in losses.items()}
            logs |= {f"{name}.weight": weight for name, weight in weights.items()}
            logs |= {f"{name}.weighted": weights[name] * loss.detach() for name, loss in losses.items()}
        return JointLoss(total, logs, sample_losses)

    def _weighted(self, losses: dict[str, Tensor], factors: dict[str, float]) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the weighted sum of the losses, and the weight of each loss by name."""
        if self.balance is not None:
            total, weights = self.balance(losses, factors)
        else:
            fixed = {name: factors[name] for name in losses}
            if self.recipe.balance.kind == "gradient":
                assert self.gradient_meter is not None
                ratio = self.recipe.balance.ratio
                for name in fixed:
                    if name != PRIMARY:
                        fixed[name] = self.gradient_meter.weight(name, ratio=ratio * factors[name])
            total = torch.stack([fixed[name] * loss for name, loss in losses.items()]).sum()
            weights = {name: loss.new_tensor(fixed[name], dtype=torch.float32) for name, loss in losses.items()}
        self._weights = {}
        if len(losses) > 1 and self.gradient_meter is not None and self.gradient_meter.is_accumulating:
            self._weights = {name: float(weight) for name, weight in weights.items()}
        return total, weights

    def _measures(self, losses: dict[str, Tensor], progress: TrainProgress) -> bool:
        measured = self.gradient_meter is not None and self.training and torch.is_grad_enabled()
        return measured and PRIMARY in losses and len(losses) > 1 and is_measured(progress.step)

    def logits(self, images: Tensor) -> dict[str, Tensor]:
        """Return the logits of each task for images in [0, 1], float [B, 3, H, W], without masking or randomness."""
        return self.primary.logits(self.pooled(images))

    def pooled(self, images: Tensor) -> Tensor:
        """Return the input of the primary objective, [B, width], for images, float [B, 3, H, W] in [0, 1]."""
        return self._fused(self.primary.encode_images(self.encoder, images))

    def validation_outputs(self, images: Tensor) -> dict[str, Tensor]:
        """Return the outputs that validation metrics need, by task, for images, float [B, 3, H, W] in [0, 1]."""
        return self.primary.validation_outputs(self.pooled(images))

    def embed(self, images: Tensor) -> Tensor:
        """Return the embeddings, [B, E], of images, float [B, 3, H, W] in [0, 1]."""
        return self.primary.embed(self.pooled(images))

    def exported_state(self) -> dict[str, Tensor]:
        """Return the weights that a model directory stores: all weights except those that only training needs."""
        omitted = tuple(f"{PRIMARY}.{prefix}" for prefix in self.primary.training_only)
        return {name: value for name, value in self.state_dict().items() if not name.startswith(omitted)}

    @property
    def views(self) -> tuple[ViewRequest, ...]:
        """The views requested by auxiliaries that run in at least one step."""
        return tuple(dict.fromkeys(view for _, auxiliary in self._running() for view in auxiliary.views))

    def before_training(self, training: TrainingSet) -> None:
        """Let the auxiliaries prepare their tables of the training split."""
        for _, auxiliary in self._running():
            auxiliary.before_training(training)

    def before_epoch(self, training: TrainingSet, epoch: int) -> None:
        """Let the auxiliaries update their tables before an epoch, counted from 0."""
        for _, auxiliary in self._running():
            auxiliary.before_epoch(training, epoch)

    def after_step(self, progress: TrainProgress, reduce: Callable[[Tensor], Tensor] | None = None) -> dict[str, float]:
        """Let the auxiliaries update themselves after an optimizer step.

        Args:
            progress: position of the step in the training run.
            reduce: callable that averages a tensor over processes.

        Returns:
            Gradient ratios and cosines for the log, if they were measured in this step; with balance ``gradient``, also
            the ratios that the balance maintains, as ``NAME.set_ratio``.
        """
        for _, auxiliary in self._running():
            auxiliary.after_step(self.encoder, progress)
        logs = {} if self.gradient_meter is None else self.gradient_meter.finish(self._weights, reduce)
        if not logs or self.recipe.balance.kind != "gradient":
            return logs
        ratio, factors = self.recipe.balance.ratio, self._schedule.weights(progress)
        return logs | {f"{name}.set_ratio": ratio * factors[name] for name in self.auxiliaries if factors[name] > 0}

    @torch.no_grad()
    def validation_logs(self, images: np.ndarray) -> dict[str, float]:
        """Return the auxiliaries' metrics on held-out images, as ``val.auxiliary.name``.

        The training mode of the model is restored afterwards.

        Args:
            images: images, uint8 [N, 3, S, S], or clips, uint8 [N, T, 3, S, S], at the encoder's input size.
        """
        training = self.training
        self.eval()
        logs = {
            f"val.{name}.{key}": value
            for name, auxiliary in self._running()
            for key, value in auxiliary.validation_logs(self.encoder, images).items()
        }
        self.train(training)
        return logs

    def objective_state(self) -> dict[str, Tensor]:
        """Return the state other than weights that resuming needs, as ``auxiliary/name``; it is never exported."""
        state = {
            f"{name}/{key}": value for name, each in self._auxiliaries() for key, value in resume_state(each).items()
        }
        return state if self.gradient_meter is None else state | {_METER: self.gradient_meter.state()}

    def load_objective_state(self, state: dict[str, Tensor]) -> None:
        """Restore the state that :meth:`objective_state` returned."""
        if self.gradient_meter is not None and _METER in state:
            self.gradient_meter.load_state(state[_METER])
        for name, auxiliary in self._auxiliaries():
            prefix = f"{name}/"
            own = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
            load_resume_state(auxiliary, own)

    def report(self) -> dict[str, float]:
        """Return the auxiliaries' statistics of the training split, as ``auxiliary.name``."""
        return {f"{name}.{key}": value for name, each in self._auxiliaries() for key, value in each.report().items()}

    def save_pretrained(self, folder: str | Path) -> None:
        """Write a model directory with these weights, without thresholds or calibration.

        In an existing folder, files with the same names are replaced, and all other files are kept.
        """
        with added_files(Path(folder)) as temporary:
            write_model_files(self.exported_state(), temporary, self.default_config())

    def default_config(self) -> ModelConfig:
        """Return the configuration of the model without thresholds, calibration and selection."""
        return ModelConfig(recipe=self.recipe, tasks=tuple(TaskRecord.of(task) for task in self.tasks))

    @classmethod
    def from_config(cls, config: ModelConfig) -> "JointModel":
        """Build the model that a configuration describes, with random weights; pretrained weights are not read."""
        encoder = config.recipe.encoder.model_copy(update={"pretrained": False, "init_from": None})
        recipe = config.recipe.model_copy(update={"encoder": encoder})
        return cls(recipe, [task.learned_task() for task in config.tasks])

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> "JointModel":
        """Read a model directory.

        Raises:
            InputError: auxface did not write the directory, or the files are not consistent with each other.
        """
        return read_model(Path(folder), cls.from_config)[0]

    def _pooled(self, batch: Batch, context: StepContext) -> Tensor:
        frozen = self._schedule.freezes_encoder(context.progress)
        training = self.encoder.training
        if frozen:
            self.encoder.eval()
        with torch.set_grad_enabled(torch.is_grad_enabled() and not frozen):
            features = self.primary.encode(batch, context)
        if frozen:
            # The mode is restored, because an auxiliary may train the encoder in the same step.
            self.encoder.train(training)
        return self._fused(features)

    def _fused(self, features: Features) -> Tensor:
        if self.fusion is None:
            return features.pooled
        reconstruction = self.auxiliaries[RECONSTRUCTION]
        assert isinstance(reconstruction, Reconstruction)
        return self.fusion(features.pooled, reconstruction.decoder.decode_full(features))

    def _make_fusion(self) -> nn.Module | None:
        if self.recipe.fusion == "none" or self.recipe.auxiliary is None:
            return None
        with _seeded(self.recipe.seed, _FUSION):
            decoder_width = decoder_size(self.recipe.auxiliary, self.encoder).width
            return FUSIONS[self.recipe.fusion](self.encoder.width, decoder_width)

    def _auxiliaries(self) -> Iterator[tuple[str, Objective]]:
        for name, auxiliary in self.auxiliaries.items():
            assert isinstance(auxiliary, Objective)
            yield name, auxiliary

    def _running(self) -> Iterator[tuple[str, Objective]]:
        for name, auxiliary in self._auxiliaries():
            if self._schedule.ever_runs(name):
                yield name, auxiliary


@contextmanager
def _seeded(seed: int, part: int) -> Iterator[None]:
    """Draw initial weights from (seed, part) and leave the caller's random state unchanged."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed * 1_000 + part)
        yield
