"""Where timm's pre-trained weights are: in the local cache or a network away, told in seconds, not after retries."""

import threading
import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path

import timm
import torch
from huggingface_hub import constants, try_to_load_from_cache

from auxface.errors import InputError

_PATIENCE = 5.0
_SAFE, _PICKLED = "model.safetensors", "pytorch_model.bin"


def cached_weights(name: str) -> Path | None:
    """The file of a timm model's weights in the local cache, or None where the network will have to give them.

    Args:
        name: a timm model, with or without a tag of its weights.

    Raises:
        InputError: they are neither in the cache nor in reach.
    """
    source = timm.get_pretrained_cfg(name, allow_unregistered=False)
    if source is None or not (source.hf_hub_id or source.url):
        return None
    hub_id, url = source.hf_hub_id or "", str(source.url)
    found = _in_cache(hub_id, source.hf_hub_filename) if hub_id else _downloaded(url)
    if found is not None:
        return found
    if hub_id and constants.HF_HUB_OFFLINE:
        reason = "HF_HUB_OFFLINE is set"
    else:
        reason = _unreachable(constants.ENDPOINT if hub_id else url)
    if reason is not None:
        raise InputError(
            f"the pre-trained weights of '{name}' are not on this machine, and {hub_id or url} cannot be reached "
            f"({reason}); set encoder.pretrained=false, or fetch them once on a machine with network"
        )
    return None


def _in_cache(hub_id: str, filename: str | None) -> Path | None:
    repository, _, revision = hub_id.partition("@")
    names = (_SAFE, _PICKLED) if filename is None else (str(Path(filename).with_suffix(".safetensors")), filename)
    for name in names:
        path = try_to_load_from_cache(repository, name, revision=revision or None)
        if isinstance(path, str):
            return Path(path)
    return None


def _downloaded(url: str) -> Path | None:
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    return path if path.is_file() else None


def _unreachable(address: str) -> str | None:
    """Why nothing answers at an address; None if something does, whatever it says."""
    answers: list[str | None] = []
    # Looking up a name has no timeout of its own, hence a thread that may be left behind.
    asking = threading.Thread(target=lambda: answers.append(_ask(address)), daemon=True)
    asking.start()
    asking.join(_PATIENCE)
    return answers[0] if answers else f"no answer within {_PATIENCE:g} seconds"


def _ask(address: str) -> str | None:
    try:
        urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=_PATIENCE).close()
    except urllib.error.HTTPError:
        return None
    except urllib.error.URLError as error:
        return str(error.reason)
    except (OSError, HTTPException) as error:
        return str(error) or type(error).__name__
    return None
