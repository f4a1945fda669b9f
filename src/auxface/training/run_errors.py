"""Errors that end a run; their messages state what to change.

Example::

    with readable_errors(folder, batch_size=64, accumulate=1):
        ...                                       # running out of memory or disk space raises InputError
"""

import errno
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch

from auxface.atomic import atomic_file
from auxface.errors import InputError
from auxface.training.checkpoint import newest_checkpoint

_MAX_NAMED = 5
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class NonFiniteLoss(InputError):
    """The loss is NaN or infinite; the message names the step, the images, and settings to change."""


def non_finite_loss(step: int, keys: Sequence[str], folder: Path, precision: str, *, write: bool) -> NonFiniteLoss:
    """Return the error for a loss that is NaN or infinite.

    Args:
        step: number of the step, counted from 1.
        keys: sample keys of the images in the step.
        folder: folder of the run.
        precision: Accelerate's name for the precision: ``no``, ``bf16`` or ``fp16``.
        write: whether to write all keys to ``nonfinite.json`` in the folder; true for only one process.
    """
    if write:
        with atomic_file(folder / "nonfinite.json") as temporary:
            temporary.write_text(json.dumps({"step": step, "keys": list(keys)}, indent=1) + "\n")
    newest = newest_checkpoint(folder / "checkpoint")
    state = f"the last checkpoint before it is {newest}" if newest else "there is no checkpoint yet"
    named = ", ".join(keys[:_MAX_NAMED]) + (f" and {len(keys) - _MAX_NAMED} more" if len(keys) > _MAX_NAMED else "")
    precision_hint = "" if precision == "no" else ", or train.precision=fp32"
    return NonFiniteLoss(
        f"the loss is not finite at step {step} (images {named}; {folder / 'nonfinite.json'} lists all of them); "
        f"{state}; lower train.base_learning_rate or set train.clip_norm=1{precision_hint}"
    )


@contextmanager
def readable_errors(folder: Path, batch_size: int, accumulate: int) -> Iterator[None]:
    """Convert out-of-memory, disk-space and compiler errors inside a ``with`` block to :class:`InputError`.

    Args:
        folder: folder of the run.
        batch_size: number of images per step.
        accumulate: number of micro-batches per step.

    Raises:
        InputError: memory or disk space ran out, or the compiler failed; the message names the settings to change.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
            reason = str(error).splitlines()[0][:200]
            raise InputError(
                f"the model cannot be compiled on this machine ({reason}); set train.compile=false"
            ) from None
        if not _is_out_of_memory(error):
            raise
        raise InputError(
            f"out of memory with train.batch_size {batch_size} and train.accumulate {accumulate}; set train.accumulate="
            f"{2 * accumulate} (same images per step, about half the memory), train.checkpoint_activations=true, "
            f"train.batch_size={max(1, batch_size // 2)} or train.batch_size=auto"
        ) from None
    except OSError as error:
        if error.errno not in _DISK_FULL and "space" not in str(error).lower():
            raise
        newest = newest_checkpoint(folder / "checkpoint")
        state = f"the checkpoint {newest} is complete" if newest else "no checkpoint was written yet"
        raise InputError(
            f"{folder}: no space left on the disk; {state}; free some space and resume with "
            f"'auxface train --resume {folder}'"
        ) from None


def _is_out_of_memory(error: BaseException) -> bool:
    """Return whether an exception means that the device or the machine ran out of memory."""
    message = str(error)
    return (
        isinstance(error, torch.OutOfMemoryError | MemoryError)
        or "DefaultCPUAllocator" in message
        or "MPS backend out of memory" in message
    )
