"""Checksums of the files in a folder of the cache; a corrupt folder is created again and never used.

A file is divided into at most 4,096 blocks of at least 1 MiB. Opening a folder verifies the size of every file, the
first 4 KiB of every block, and up to 256 MiB of complete blocks, chosen at random. A file of up to 256 MiB is therefore
verified completely, and in a larger file, every corrupt range of two or more blocks is detected. CRC-32 detects
accidental corruption, not deliberate changes.

Example::

    write_checksums(folder)      # once, after all files are written
    is_intact(folder)            # True
"""

import json
import random
import zlib
from pathlib import Path
from typing import Any, BinaryIO

FILE = "checksums.json"
_LEAST_BLOCK, _MOST_BLOCKS, _START = 2**20, 4096, 4096
_CHECKED_BYTES = 256 * 2**20


def write_checksums(folder: Path) -> None:
    """Write ``checksums.json`` with the checksums of all other files of a folder.

    Args:
        folder: folder whose files are read once to compute the checksums; subfolders are ignored.
    """
    files = {path.name: _measure(path) for path in sorted(folder.iterdir()) if path.is_file() and path.name != FILE}
    content = json.dumps(files, separators=(",", ":"))
    # The first line holds the checksum of the rest, so that corruption of the checksums themselves is also detected.
    (folder / FILE).write_text(f"{zlib.crc32(content.encode())}\n{content}")


def is_intact(folder: Path) -> bool:
    """Return whether the files of a folder have their recorded sizes and checksums.

    Args:
        folder: folder for which :func:`write_checksums` was called; a folder without checksums is not intact.
    """
    try:
        checksum, _, content = (folder / FILE).read_text().partition("\n")
        if zlib.crc32(content.encode()) != int(checksum):
            return False
        files = json.loads(content)
        return all(_matches(folder / name, recorded) for name, recorded in files.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _measure(path: Path) -> dict[str, Any]:
    size = path.stat().st_size
    block = max(_LEAST_BLOCK, -(-size // _MOST_BLOCKS))
    starts, blocks = [], []
    with path.open("rb") as file:
        while data := file.read(block):
            starts.append(zlib.crc32(data[:_START]))
            blocks.append(zlib.crc32(data))
    return {"bytes": size, "block": block, "starts": starts, "blocks": blocks}


def _matches(path: Path, recorded: dict[str, Any]) -> bool:
    if path.stat().st_size != recorded["bytes"]:
        return False
    block, starts, blocks = recorded["block"], recorded["starts"], recorded["blocks"]
    complete = max(1, _CHECKED_BYTES // block)
    # Other blocks are chosen at each opening, so that a small corrupt range in a large file is eventually detected.
    chosen = range(len(blocks)) if len(blocks) <= complete else random.Random().sample(range(len(blocks)), complete)
    with path.open("rb", buffering=0) as file:
        return all(_checksum(file, number * block, _START) == start for number, start in enumerate(starts)) and all(
            _checksum(file, number * block, block) == blocks[number] for number in chosen
        )


def _checksum(file: BinaryIO, start: int, length: int) -> int:
    file.seek(start)
    return zlib.crc32(file.read(length))
