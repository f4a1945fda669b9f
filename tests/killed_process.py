"""Run an auxface command in the current folder and kill it at a file operation.

``python killed_process.py COPIES STEP EVENT NAME ARGUMENT ...`` runs ``auxface ARGUMENT ...``. All its processes are
killed by SIGKILL before the operation ``EVENT``, an audit event such as ``os.rename``, on a file called ``NAME``.
Before that, the folder is copied to ``COPIES/1``, ``COPIES/1+STEP`` and so on before the operations of these numbers
(``STEP`` 0: never). SIGKILL leaves the files of a process as they are, so each copy is what a kill at that moment
leaves.
"""

import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

_CHANGES = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod"}


class Watch:
    """An audit hook that counts the changes of the current folder, copies the folder, and kills the processes."""

    def __init__(self, copies: str, step: str, event: str, name: str) -> None:
        self.copies, self.step, self.event, self.name = Path(copies), int(step), event, name
        self.place, self.count, self.active = Path.cwd(), 0, True

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.active or event not in _CHANGES or not isinstance(arguments[0], str | bytes | os.PathLike):
            return
        if event == "open" and not arguments[2] & (os.O_WRONLY | os.O_RDWR):
            return
        paths = [Path(os.path.abspath(os.fsdecode(path))) for path in arguments[: 2 if event == "os.rename" else 1]]
        if not paths[0].is_relative_to(self.place):
            return
        if event == self.event and self.name in [path.name for path in paths]:
            os.killpg(0, signal.SIGKILL)
        self.count += 1
        if self.step and self.count % self.step == 1 % self.step:
            self.active = False
            shutil.copytree(self.place, self.copies / str(self.count), symlinks=True)
            self.active = True


if __name__ == "__main__":
    # The processes of a study import this module, too, with the arguments of auxface.
    os.environ["KILL_AT"] = "\n".join(sys.argv[1:5])
    sys.argv = ["auxface", *sys.argv[5:]]
sys.addaudithook(Watch(*os.environ["KILL_AT"].split("\n")))

if __name__ == "__main__":
    from auxface.cli.app import main

    main()
