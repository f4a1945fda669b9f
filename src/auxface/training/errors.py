"""What ends a run, in one sentence that says what to do."""

import errno
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch

from auxface.atomic import atomic_file
from auxface.errors import InputError
from auxface.training.checkpoint import newest_checkpoint

_NAMED = 5
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class NonFiniteLoss(InputError):
    """The loss is NaN or infinite; the message says at which step, on which images, and names a way out."""


def non_finite_loss(step: int, keys: Sequence[str], folder: Path, precision: str, write: bool) -> NonFiniteLoss:
    """The error of a loss that was not finite at ``step`` (counted from 1), on the images with these keys.

    All keys are written to ``nonfinite.json`` in the run's folder.
    """
    if write:
        with atomic_file(folder / "nonfinite.json") as beside:
            beside.write_text(json.dumps({"step": step, "keys": list(keys)}, indent=1) + "\n")
    kept = newest_checkpoint(folder / "checkpoint")
    state = f"the last good state is {kept}" if kept else "there is no checkpoint yet"
    named = ", ".join(keys[:_NAMED]) + (f" and {len(keys) - _NAMED} more" if len(keys) > _NAMED else "")
    advice = "" if precision == "no" else ", or train.precision=fp32"
    return NonFiniteLoss(
        f"the loss is not finite at step {step} (images {named}; all are in {folder / 'nonfinite.json'}); {state}; "
        f"lower train.base_learning_rate or set train.clip_norm=1{advice}"
    )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that a device or the machine has no memory left."""
    said = str(error)
    return (
        isinstance(error, torch.OutOfMemoryError | MemoryError)
        or "DefaultCPUAllocator" in said
        or "MPS backend out of memory" in said
    )


@contextmanager
def explained(folder: Path, batch_size: int, accumulate: int) -> Iterator[None]:
    """Turn a lack of memory, of disk space or of a compiler inside the block into a sentence.

    Raises:
        InputError: memory or disk ran out, or the compiler failed.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
            said = str(error).splitlines()[0][:200]
            raise InputError(f"the blocks cannot be compiled here ({said}); set train.compile=false") from None
        if not is_out_of_memory(error):
            raise
        raise InputError(
            f"out of memory with train.batch_size {batch_size} in {accumulate} part(s); set train.accumulate="
            f"{2 * accumulate} (same result, half the memory), train.checkpoint_activations=true, "
            f"train.batch_size={max(1, batch_size // 2)} or train.batch_size=auto"
        ) from None
    except OSError as error:
        if error.errno not in _FULL and "space" not in str(error).lower():
            raise
        kept = newest_checkpoint(folder / "checkpoint")
        state = f"the checkpoint {kept} is whole" if kept else "no checkpoint was written yet"
        raise InputError(
            f"{folder}: no space left on the disk; {state}; make room and go on with 'auxface train --resume {folder}'"
        ) from None
