"""Memory of the C library: large pieces that were freed are kept for the next batch."""

import torch

# The largest piece that glibc lets its limit follow to, less its own bookkeeping.
_LARGEST = 2**25 - 2**16


def keep_freed_memory() -> None:
    """Make glibc reuse freed memory up to 64 MiB in place of giving it back to the system.

    It gives back every large piece at first and takes pages anew for every batch, which costs more than making the
    batch; its limit rises to the size of the largest piece that was ever freed. Elsewhere this changes nothing.
    """
    torch.empty(_LARGEST, dtype=torch.uint8)
