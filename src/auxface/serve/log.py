"""What a server says while it runs: one JSON object per line on standard error, for machines that collect them."""

import json
import logging
import sys


def log_to_standard_error() -> None:
    """Let ``auxface.serve`` speak in this process."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines())
    logger = logging.getLogger("auxface.serve")
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False


class _Lines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(
            {
                "time": self.formatTime(record),
                "level": record.levelname.lower(),
                "process": record.process,
                "said": record.getMessage(),
            }
        )
