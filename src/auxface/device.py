"""Devices on which models run: resolution of ``auto``, availability, and memory.

Training, inference and serving all resolve ``device="auto"`` here, so that prediction uses the same kind of device as
training. torch is imported on the first call.

Example::

    check_device("mps")                  # InputError if this machine has no Apple GPU
    model.to(resolve_device("auto"))
"""

import hashlib
import os
import resource
import sys
import threading
import time
from typing import TYPE_CHECKING

from auxface.errors import InputError

if TYPE_CHECKING:
    import torch

_LOAD_SECONDS = 0.3


def resolve_device(device: str) -> str:
    """Return ``device``; ``auto`` is replaced by the fastest kind of device on this machine.

    Args:
        device: ``auto`` or the name of a torch device.

    Returns:
        The name of the device; for ``auto``, the first of ``cuda``, ``mps`` and ``cpu`` that is available.
    """
    import torch

    if device != "auto":
        return device
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def check_device(device: str) -> None:
    """Check that a device is available on this machine.

    Args:
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.

    Raises:
        InputError: the name is unknown, or torch finds no device of this kind.
    """
    import torch

    available = {"auto": True, "cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if device not in available:
        raise InputError(f"--device must be auto, cpu, cuda or mps; found '{device}'")
    if not available[device]:
        raise InputError(f"--device {device}: torch finds no such device on this machine; use --device auto")


def free_cores() -> int:
    """Return the number of idle processor cores, measured with a short load on all cores.

    The core count that the operating system reports accounts for neither other programs nor container limits.

    Returns:
        A number from 1 to the number of cores that this process may use.
    """
    most = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    end, block = time.perf_counter() + _LOAD_SECONDS, bytes(2**20)

    def load() -> None:
        # Hashing releases Python's global interpreter lock, so that the threads run in parallel.
        while time.perf_counter() < end:
            hashlib.sha256(block)

    threads = [threading.Thread(target=load) for _ in range(most)]
    start, used = time.perf_counter(), time.process_time()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return min(max(round((time.process_time() - used) / (time.perf_counter() - start)), 1), most)


def free_memory(device: str) -> float:
    """Return the free memory of a device in bytes; for ``cpu`` and ``mps``, this is the memory of the machine."""
    import psutil
    import torch

    return torch.cuda.mem_get_info()[0] if device == "cuda" else psutil.virtual_memory().available


def peak_memory(device: "torch.device") -> float:
    """Return the peak memory use in bytes: memory allocated on a CUDA GPU, or resident memory of a CPU process.

    On an Apple GPU, this is the memory that the driver currently has allocated, because torch records no peak there.
    """
    import torch

    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if device.type == "mps":
        return torch.mps.driver_allocated_memory()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
