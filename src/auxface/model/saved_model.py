"""Save and load models with their configurations: model directories on disk and on the Hugging Face Hub.

The Hub library is imported only when it is used.
"""

import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auxface.errors import InputError
from auxface.model.config import ModelConfig
from auxface.model.directory import CARD, CONFIG, WEIGHTS, read_model, write_model_files
from auxface.model.joint import JointModel
from auxface.output_folder import added_files

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")


@dataclass(frozen=True)
class SavedModel:
    """A model and its configuration, read from a model directory."""

    model: JointModel
    config: ModelConfig


def save_model(
    model: JointModel, folder: Path, config: ModelConfig | None = None, report: Mapping[str, Any] | None = None
) -> None:
    """Write a model directory.

    In an existing folder, the files of a model directory are replaced, and all other files are kept.

    Args:
        model: the model.
        folder: the model directory.
        config: configuration of the model; None for a configuration without thresholds and calibration.
        report: content of an audit's ``report.json``, which is shown in the model card.
    """
    config = model.default_config() if config is None else config
    with added_files(folder) as temporary:
        write_model_files(model.exported_state(), temporary, config, report)


def load_model(folder: Path) -> SavedModel:
    """Read a model directory. Nothing is downloaded and nothing in the directory is executed.

    Raises:
        InputError: in the same cases as :func:`~auxface.model.directory.read_model`.
    """
    return SavedModel(*read_model(folder, JointModel.from_config))


def fetch_model(model: str | Path, revision: str | None = None) -> SavedModel:
    """Read a model from a directory, or from the Hub.

    Args:
        model: model directory, or Hub name ``owner/name`` if no local path has this name.
        revision: commit, tag or branch on the Hub; None for the default branch.

    Raises:
        InputError: the directory does not exist, and the Hub cannot be reached or has no model with this name.
    """
    folder = Path(model)
    if folder.exists() or isinstance(model, Path) or not _HUB_NAME.fullmatch(model):
        if revision is not None:
            raise InputError(f"{model}: a revision requires a Hub name (owner/name), but this is a directory")
        return load_model(folder)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError

    try:
        # Other files of the repository are not downloaded.
        place = snapshot_download(model, revision=revision, allow_patterns=[CONFIG, WEIGHTS, CARD])
    except RepositoryNotFoundError:
        raise InputError(f"{model}: no such local directory, and no such model on the Hugging Face Hub") from None
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError, ValueError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"{model}: no such local directory, and downloading from the Hugging Face Hub failed ({reason}); without a "
            "network connection, copy the model directory and give its path"
        ) from None
    return load_model(Path(place))


def push_model(
    model: JointModel,
    config: ModelConfig,
    name: str,
    *,
    report: Mapping[str, Any] | None = None,
    private: bool = True,
    token: str | None = None,
) -> str:
    """Upload the weights, configuration and card of a model, and return the URL of the commit.

    Args:
        model: the model.
        config: configuration of the model.
        name: repository ``owner/name``, which is created if it does not exist.
        report: content of an audit's ``report.json``, which is shown in the model card.
        private: whether a new repository is private.
        token: access token; None for the token that ``hf auth login`` stored.

    Raises:
        InputError: the name is invalid, or the Hub rejects the upload or cannot be reached.
    """
    if not _HUB_NAME.fullmatch(name):
        raise InputError(f"'{name}' is not a Hub name; expected owner/name")
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_model_files(model.exported_state(), folder, config, report)
        try:
            api = HfApi(token=token)
            api.create_repo(name, private=private, exist_ok=True)
            return str(api.upload_folder(repo_id=name, folder_path=folder, commit_message="auxface model"))
        except (HfHubHTTPError, OSError, ValueError) as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise InputError(f"{name}: uploading to the Hugging Face Hub failed ({reason})") from None
