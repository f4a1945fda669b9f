"""One encoder learned by several objectives at once (SSAT, Das et al., 2023).

    loss = primary_weight * primary + (1 - primary_weight) * sum of weight * auxiliary

Note that ``primary_weight`` multiplies the *supervised* loss; the published value is 0.1. An objective whose weight is
zero is not run, and each part draws its first weights from its own seed, so a joint model with ``primary_weight`` 1
takes exactly the steps of a supervised one.
"""

import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from auxface.encoders import Features, build_encoder
from auxface.model.balance import (
    LearnedBalance,
    auxiliary_ever_runs,
    auxiliary_weight_at,
    encoder_is_frozen,
    primary_weight_at,
)
from auxface.model.weights import start_encoder
from auxface.objectives import (
    AuxiliaryObjective,
    Batch,
    Classification,
    Moment,
    Reconstruction,
    Setting,
    Task,
    TrainingSet,
)
from auxface.objectives.base import check_texture_input
from auxface.objectives.fusion import FUSIONS
from auxface.recipe import Recipe
from auxface.recipe.auxiliary import RECONSTRUCTION, get

_PARTS = {RECONSTRUCTION: 2}


class JointModel(nn.Module):
    """Encoder, primary objective and auxiliaries.

    Args:
        recipe: what to build.
        tasks: the labels to learn with their class names.

    Raises:
        InputError: the encoder, an objective or a target of the recipe cannot be built.
    """

    def __init__(self, recipe: Recipe, tasks: Sequence[Task]) -> None:
        super().__init__()
        self.recipe = recipe
        texture = recipe.seen_texture
        check_texture_input(texture)
        with _seeded(recipe.seed, 0):
            self.encoder = build_encoder(recipe.encoder)
        if recipe.encoder.init_from is not None:
            start_encoder(self.encoder, recipe.encoder.init_from)
        setting = Setting(self.encoder, tuple(tasks), texture)
        self.auxiliaries = nn.ModuleDict()
        for name, options in recipe.objectives.items():
            with _seeded(recipe.seed, _PARTS.get(name) or zlib.crc32(name.encode())):
                self.auxiliaries[name] = get(name).build(options, setting)
        with _seeded(recipe.seed, 3):
            self.fusion = self._make_fusion()
        seen = texture if recipe.primary.input == "texture" else None
        with _seeded(recipe.seed, 1):
            self.primary = Classification(tasks, self._width(), recipe.primary.label_smoothing, seen)
        learned = recipe.primary_weight == "learned"
        self.balance = LearnedBalance(("primary", *self.auxiliaries)) if learned else None

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The primary tasks in order."""
        return self.primary.tasks

    def forward(self, batch: Batch, moment: Moment | None = None) -> tuple[Tensor, dict[str, Tensor]]:
        """One joint loss and, for the log, every objective's raw loss (before its weight).

        Args:
            batch: the images.
            moment: where the training stands; without it, its beginning.
        """
        moment = moment or Moment()
        share = primary_weight_at(self.recipe, moment)
        losses: dict[str, Tensor] = {}
        weights: dict[str, float] = {}
        logs: dict[str, Tensor] = {}
        if share > 0:
            loss, each = self.primary(self._see(batch, moment), batch)
            losses["primary"], weights["primary"] = loss, share
            logs |= {f"primary.{name}": value for name, value in each.items()}
        for name, auxiliary in self._auxiliaries():
            weight = (1 - share) * auxiliary_weight_at(self.recipe.objectives[name], moment)
            if weight > 0:
                loss, each = auxiliary(self.encoder, batch, moment)
                losses[name], weights[name] = loss * batch.share, weight
                logs |= {f"{name}.{part}": value * batch.share for part, value in each.items()}
        if self.balance is not None:
            total, learned = self.balance(losses)
            return total, logs | {f"weight.{name}": weight for name, weight in learned.items()}
        return torch.stack([weights[name] * loss for name, loss in losses.items()]).sum(), logs

    def logits(self, images: Tensor) -> dict[str, Tensor]:
        """Images in [0, 1], float [B, 3, H, W], to logits per task; nothing is hidden, nothing is left to chance."""
        return self.primary.logits(self.pooled(images))

    def pooled(self, images: Tensor) -> Tensor:
        """Images in [0, 1], float [B, 3, H, W], to what the heads read, [B, width]."""
        return self._fused(self.primary.look_at(self.encoder, images))

    @property
    def views(self) -> tuple[str, ...]:
        """Names of the further views that the auxiliaries ask for, of those that are ever run."""
        return tuple(dict.fromkeys(view for _, auxiliary in self._running() for view in auxiliary.views))

    def before_training(self, training: TrainingSet) -> None:
        """Let the auxiliaries make their tables of the training split."""
        for _, auxiliary in self._running():
            auxiliary.before_training(training)

    def before_epoch(self, training: TrainingSet, epoch: int) -> None:
        """Let the auxiliaries renew their tables before an epoch, counted from 0."""
        for _, auxiliary in self._running():
            auxiliary.before_epoch(training, epoch)

    def after_step(self, moment: Moment) -> None:
        """Let the auxiliaries follow an optimizer step."""
        for _, auxiliary in self._running():
            auxiliary.after_step(self.encoder, moment)

    def objective_state(self) -> dict[str, Tensor]:
        """What a resumed run needs besides weights, as ``auxiliary/name``; an exported model has no use for it."""
        return {f"{name}/{key}": value for name, each in self._auxiliaries() for key, value in each.state().items()}

    def load_objective_state(self, state: dict[str, Tensor]) -> None:
        """Take back what :meth:`objective_state` gave."""
        for name, auxiliary in self._auxiliaries():
            own = {key.split("/", 1)[1]: value for key, value in state.items() if key.split("/", 1)[0] == name}
            if own:
                auxiliary.load_state(own)

    def report(self) -> dict[str, float]:
        """What the auxiliaries found out about the training split, as ``auxiliary.name``."""
        return {f"{name}.{key}": value for name, each in self._auxiliaries() for key, value in each.report().items()}

    def _see(self, batch: Batch, moment: Moment) -> Tensor:
        frozen = encoder_is_frozen(self.recipe, moment)
        if frozen:
            self.encoder.eval()
        with torch.set_grad_enabled(torch.is_grad_enabled() and not frozen):
            features = self.primary.look(self.encoder, batch)
        return self._fused(features)

    def _fused(self, features: Features) -> Tensor:
        if self.fusion is None:
            return features.pooled
        reconstruction = self.auxiliaries[RECONSTRUCTION]
        assert isinstance(reconstruction, Reconstruction)
        return self.fusion(features.pooled, reconstruction.decoder.whole(features))

    def _width(self) -> int:
        if self.fusion is None:
            return self.encoder.width
        assert isinstance(self.fusion.width, int)
        return self.fusion.width

    def _make_fusion(self) -> nn.Module | None:
        if self.recipe.fusion == "none" or self.recipe.auxiliary is None:
            return None
        return FUSIONS[self.recipe.fusion](self.encoder.width, self.recipe.auxiliary.decoder_width)

    def _auxiliaries(self) -> Iterator[tuple[str, AuxiliaryObjective]]:
        for name, auxiliary in self.auxiliaries.items():
            assert isinstance(auxiliary, AuxiliaryObjective)
            yield name, auxiliary

    def _running(self) -> Iterator[tuple[str, AuxiliaryObjective]]:
        for name, auxiliary in self._auxiliaries():
            if auxiliary_ever_runs(self.recipe, self.recipe.objectives[name]):
                yield name, auxiliary

    def save_pretrained(self, folder: str | Path) -> None:
        """Write a model directory with these weights, without thresholds or calibration.

        In a folder that exists, files of the same names are replaced and all others stay.
        """
        from auxface.model.directory import save_model

        save_model(self, Path(folder))

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> "JointModel":
        """Read a model directory.

        Raises:
            InputError: the directory is not one that auxface wrote, or its parts do not fit each other.
        """
        from auxface.model.directory import load_model

        return load_model(Path(folder)).model


@contextmanager
def _seeded(seed: int, part: int) -> Iterator[None]:
    """Draw random weights from (seed, part) and leave the caller's random state as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed * 1_000 + part)
        yield
