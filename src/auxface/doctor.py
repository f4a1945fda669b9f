"""``auxface doctor``: what this installation can do, for a person and for a bug report."""

from importlib.util import find_spec
from typing import Any

from auxface.provenance import provenance

_OPTIONAL = {"video": "av", "serve": "fastapi", "export": "onnxruntime", "tensorboard": "tensorboard"}


def doctor() -> dict[str, Any]:
    """Versions, machine, commit, and which optional parts are installed."""
    made = provenance()
    made.pop("created")
    missing = {name: f"missing (pip install auxface[{name}])" for name in _OPTIONAL}
    return made | {
        "optional": {name: "ready" if find_spec(module) else missing[name] for name, module in _OPTIONAL.items()}
    }
