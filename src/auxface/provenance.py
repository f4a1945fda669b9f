"""The provenance of a result: versions, kind of machine, commit and time.

Example::

    provenance(recipe_hash="1f0c", seed=0)["machine"]       # '2-core x86_64 Linux, no GPU'
"""

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

_PACKAGES = ("auxface", "torch", "torchvision", "timm", "numpy", "scikit-learn")


def provenance(**entries: Any) -> dict[str, Any]:
    """Return ``entries`` followed by versions, kind of machine, UTC time and, in a Git clone, the commit of auxface."""
    versions = {"python": platform.python_version()} | {name: metadata.version(name) for name in _PACKAGES}
    created = datetime.now(UTC).isoformat(timespec="seconds")
    commit = _commit()
    result = entries | {"versions": versions, "machine": machine_kind(), "created": created}
    return result | ({"commit": commit} if commit else {})


def machine_kind() -> str:
    """Return the kind of machine without its host name: number of cores, processor architecture, system and GPU.

    If torch has not been imported, as in an audit, no GPU was used, and the result names no GPU. Importing torch to
    query the GPU would take longer than most audits.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    torch: Any = sys.modules.get("torch")
    if torch is None:
        accelerator = "no GPU used"
    elif torch.cuda.is_available():
        accelerator = torch.cuda.get_device_name()
    elif torch.backends.mps.is_available():
        accelerator = "Apple GPU"
    else:
        accelerator = "no GPU"
    return f"{cores}-core {platform.machine()} {platform.system()}, {accelerator}"


def _commit() -> str | None:
    """Return the commit of the clone that contains this file; None for an installed package."""
    folder = Path(__file__).resolve().parents[2]
    if not (folder / ".git").exists():
        return None
    command = ["git", "-C", str(folder), "rev-parse", "--short=12", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
