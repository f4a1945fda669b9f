"""The run's log: one JSON line per entry, so that any program can draw the curves."""

import json
from pathlib import Path
from typing import Any

import pandas as pd


class Journal:
    """Appends JSON lines to a file; each line is flushed, so a killed run keeps what it said."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = path.open("a", encoding="utf-8")

    def write(self, **entry: Any) -> None:
        """Append one entry."""
        self.file.write(json.dumps(entry) + "\n")
        self.file.flush()

    def close(self) -> None:
        """Close the file."""
        self.file.close()


def read_journal(path: Path) -> pd.DataFrame:
    """All entries as a table, a row per entry; columns that an entry lacks are empty."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return pd.DataFrame([json.loads(line) for line in lines if line.strip()])
