"""Where a result came from: versions, machine kind, commit, time."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

_PACKAGES = ("auxface", "torch", "torchvision", "timm", "numpy", "scikit-learn")


def provenance(**more: Any) -> dict[str, Any]:
    """Versions, machine, commit (when run from a clone) and UTC time, with ``more`` put before them."""
    versions = {"python": platform.python_version()} | {name: metadata.version(name) for name in _PACKAGES}
    commit = _commit()
    made = {"versions": versions, "machine": machine_kind(), "created": datetime.now(UTC).isoformat(timespec="seconds")}
    return more | made | ({"commit": commit} if commit else {})


def machine_kind() -> str:
    """The kind of machine in words that name nobody: processor architecture, cores, accelerator."""
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if torch.cuda.is_available():
        accelerator = torch.cuda.get_device_name()
    elif torch.backends.mps.is_available():
        accelerator = "Apple GPU"
    else:
        accelerator = "no GPU"
    return f"{cores}-core {platform.machine()} {platform.system()}, {accelerator}"


def _commit() -> str | None:
    """The commit of the clone that this file lies in; None for an installed package."""
    folder = Path(__file__).resolve().parents[2]
    if not (folder / ".git").exists():
        return None
    command = ["git", "-C", str(folder), "rev-parse", "--short=12", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
