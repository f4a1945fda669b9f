"""YuNet's weight: a file that the user names, or one download whose hash is checked."""

import hashlib
import os
import urllib.error
import urllib.request
from pathlib import Path

from auxface.atomic import atomic_file
from auxface.data.cache import default_folder
from auxface.errors import InputError

URL = (
    "https://raw.githubusercontent.com/ShiqiYu/libfacedetection.train/0047ac24afb1a50a0c6105001c89d1b5b805dbf1/"
    "onnx/yunet_n_640_640.onnx"
)
SHA256 = "25a606a145a5b6d7271ae138fbd00eba91dad8b83222ae3f2c7ecd0f4a7b0e31"
_MOST = 4 * 1024 * 1024


def yunet_weight(given: Path | None = None) -> Path:
    """The file to use: ``given``, else the one that ``AUXFACE_YUNET`` names, else the downloaded one.

    Raises:
        InputError: no such file, no network, or a download that is not the expected file.
    """
    named = given or (Path(os.environ["AUXFACE_YUNET"]) if os.environ.get("AUXFACE_YUNET") else None)
    if named is not None:
        if not named.is_file():
            raise InputError(f"{named}: no such file; expected the ONNX weight of YuNet")
        return named
    kept = default_folder() / "weights" / f"yunet-{SHA256[:12]}.onnx"
    if not (kept.is_file() and hashlib.sha256(kept.read_bytes()).hexdigest() == SHA256):
        data = _download()
        with atomic_file(kept) as beside:
            beside.write_bytes(data)
    return kept


def _download() -> bytes:
    advice = "give the file with --weights or AUXFACE_YUNET, or use --detector haar"
    try:
        with urllib.request.urlopen(URL, timeout=30) as reply:
            data = reply.read(_MOST + 1)
    except (urllib.error.URLError, OSError) as error:
        raise InputError(
            f"the YuNet weight cannot be downloaded ({getattr(error, 'reason', error)}); {advice}"
        ) from None
    if hashlib.sha256(data).hexdigest() != SHA256:
        raise InputError(f"the YuNet weight that was downloaded is not the expected file (its hash differs); {advice}")
    return data
