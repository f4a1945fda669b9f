"""Sums of what steps log, each divided by the steps that logged it: a scheme does not run everything in every step."""

from dataclasses import dataclass, field

from accelerate import Accelerator
from torch import Tensor

from auxface.training.machine import agreed_mean


@dataclass
class Sums:
    """Running sums of scalars, on the device.

    Attributes:
        totals: float32 scalars by name.
        steps: by name, how many steps are in the total.
    """

    totals: dict[str, Tensor] = field(default_factory=dict)
    steps: dict[str, int] = field(default_factory=dict)

    def add(self, logs: dict[str, Tensor]) -> None:
        """Add what a step logged."""
        for name, value in logs.items():
            self.totals[name] = self.totals[name] + value.float() if name in self.totals else value.float()
            self.steps[name] = self.steps.get(name, 0) + 1

    def means(self, accelerator: Accelerator) -> dict[str, float]:
        """The mean of each over the steps that logged it, and over the processes."""
        return agreed_mean(accelerator, {name: total / self.steps[name] for name, total in self.totals.items()})
