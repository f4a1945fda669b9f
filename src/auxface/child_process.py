"""Child processes: their output goes to a file, and they end when the parent ends.

Example::

    process = get_context("spawn").Process(target=work)    # work() begins with begin_child(folder / "output.log")
"""

import os
import threading
import time
from pathlib import Path


def begin_child(log: Path) -> None:
    """Append the output of this process to a file, and end this process when its parent ends.

    Without it, a killed parent would leave running processes.

    Args:
        log: text file for standard output and standard error; its folder exists.
    """
    with log.open("a") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    threading.Thread(target=_exit_with_parent, args=(os.getppid(),), daemon=True).start()


def _exit_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
