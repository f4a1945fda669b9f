"""What a run says while it goes: losses, pictures per second, time left, memory."""

import resource
import sys
import time
from dataclasses import dataclass, field

import torch
from accelerate import Accelerator
from torch import Tensor

from auxface.training.sums import Sums


@dataclass
class Recent:
    """Sums on the device over the last few steps, read all at once when they are told.

    Attributes:
        steps: summed since the last reading.
        pictures: likewise, over all processes.
        sums: of what the steps logged.
        since: time of the last reading.
    """

    steps: int = 0
    pictures: int = 0
    sums: Sums = field(default_factory=Sums)
    since: float = field(default_factory=time.perf_counter)

    def add(self, logs: dict[str, Tensor], pictures: int) -> None:
        """Add a step."""
        self.steps += 1
        self.pictures += pictures
        self.sums.add(logs)

    def read(self, accelerator: Accelerator) -> dict[str, float]:
        """Means over steps and processes, with ``pictures_per_second`` and ``memory_gib``; begins anew."""
        means = self.sums.means(accelerator)
        now = time.perf_counter()
        means["pictures_per_second"] = round(self.pictures / (now - self.since), 2)
        means["memory_gib"] = round(memory_in_use(accelerator.device) / 2**30, 3)
        self.steps, self.pictures, self.sums, self.since = 0, 0, Sums(), now
        return means


def live_line(means: dict[str, float]) -> str:
    """The reading in one line: the loss, each objective's, speed and memory."""
    hidden = ("pictures_per_second", "memory_gib")
    speed = f"{means['pictures_per_second']:.0f} pictures/s {means['memory_gib']:.1f} GiB"
    parts = " ".join(
        f"{name.rpartition('.')[2]} {value:.3f}" for name, value in means.items() if name not in (*hidden, "loss")
    )
    # A narrow terminal cuts the end off.
    return f"loss {means['loss']:.3f} {speed} {parts}"


def memory_in_use(device: torch.device) -> float:
    """The most bytes so far on the GPU, or resident of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if device.type == "mps":
        return torch.mps.driver_allocated_memory()
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
