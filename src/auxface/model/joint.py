"""One encoder learned by several objectives at once (SSAT, Das et al., 2023).

    loss = primary_weight * primary + (1 - primary_weight) * sum of the auxiliaries

Note that ``primary_weight`` multiplies the *supervised* loss; the published value is 0.1. An objective whose weight is
zero is not run, and each part draws its first weights from its own seed, so a joint model with ``primary_weight`` 1
takes exactly the steps of a supervised one.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from auxface.encoders import build_encoder
from auxface.objectives import Batch, Classification, Moment, Reconstruction, Task
from auxface.recipe import Recipe


class JointModel(nn.Module):
    """Encoder, primary objective and auxiliaries.

    Args:
        recipe: what to build.
        tasks: the labels to learn with their class names.

    Raises:
        InputError: the encoder or a target of the recipe cannot be built.
    """

    def __init__(self, recipe: Recipe, tasks: Sequence[Task]) -> None:
        super().__init__()
        self.recipe = recipe
        with _seeded(recipe.seed, 0):
            self.encoder = build_encoder(recipe.encoder)
        with _seeded(recipe.seed, 1):
            self.primary = Classification(tasks, self.encoder.width, recipe.primary.label_smoothing)
        self.auxiliaries = nn.ModuleDict()
        if recipe.auxiliary is not None:
            with _seeded(recipe.seed, 2):
                self.auxiliaries["reconstruction"] = Reconstruction(recipe.auxiliary, self.encoder)

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The primary tasks in order."""
        return self.primary.tasks

    def forward(self, batch: Batch, moment: Moment | None = None) -> tuple[Tensor, dict[str, Tensor]]:
        """One joint loss and, for the log, every objective's raw loss (before its weight).

        Args:
            batch: the pictures.
            moment: where the training stands; without it, its beginning.
        """
        weight = self.recipe.primary_weight
        parts: list[Tensor] = []
        logs: dict[str, Tensor] = {}
        if weight > 0:
            loss, each = self.primary(self.encoder, batch)
            parts.append(weight * loss)
            logs |= {f"primary.{name}": value for name, value in each.items()}
        if weight < 1:
            for name, auxiliary in self.auxiliaries.items():
                loss, each = auxiliary(self.encoder, batch)
                parts.append((1 - weight) * loss)
                logs |= {f"{name}.{target}": value for target, value in each.items()}
        return torch.stack(parts).sum(), logs

    def logits(self, images: Tensor) -> dict[str, Tensor]:
        """Pictures in [0, 1], float [B, 3, H, W], to logits per task; nothing is hidden, no decoder runs."""
        return self.primary.logits(self.encoder(images).pooled)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write a model directory with these weights, without thresholds or calibration."""
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
