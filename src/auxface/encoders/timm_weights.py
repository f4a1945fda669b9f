"""timm's pretrained weights: found in the local cache, or an error within seconds if they cannot be downloaded.

timm itself retries for minutes before it reports that there is no network.
"""

import threading
import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path

import timm
import torch
from huggingface_hub import constants, try_to_load_from_cache

from auxface.errors import InputError

_TIMEOUT = 5.0
"""Seconds."""
_SAFE, _PICKLED = "model.safetensors", "pytorch_model.bin"


def cached_weights(name: str) -> Path | None:
    """Return the file of a timm model's weights in the local cache, or None if timm has to download them.

    Args:
        name: a timm model, with or without the tag of its weights.

    Raises:
        InputError: the weights are not in the cache, and their server does not answer.
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
        reason = _connection_error(constants.ENDPOINT if hub_id else url)
    if reason is not None:
        raise InputError(
            f"the pretrained weights of '{name}' are not on this machine, and {hub_id or url} cannot be reached "
            f"({reason}); set encoder.pretrained=false, or download them once with a network connection"
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


def _connection_error(address: str) -> str | None:
    """Return why no server answers at an address, or None if one does, with whatever status."""
    results: list[str | None] = []
    # Name resolution has no timeout, so it runs in a thread that may outlive this call.
    thread = threading.Thread(target=lambda: results.append(_request(address)), daemon=True)
    thread.start()
    thread.join(_TIMEOUT)
    return results[0] if results else f"no answer within {_TIMEOUT:g} seconds"


def _request(address: str) -> str | None:
    try:
        urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=_TIMEOUT).close()
    except urllib.error.HTTPError:
        return None
    except urllib.error.URLError as error:
        return str(error.reason)
    except (OSError, HTTPException) as error:
        return str(error) or type(error).__name__
    return None
