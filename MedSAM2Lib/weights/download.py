"""Fetching a model of the catalogue: asked first, resumed if broken off, checked before it counts as installed."""

from __future__ import annotations

import shutil
from pathlib import Path

from MedSAM2Lib.errors import DownloadError, ModelError
from MedSAM2Lib.weights.catalogue import ModelEntry, model_path
from MedSAM2Lib.weights.checksums import sha256_of, sidecar_of, verified_checksum, write_sidecar
from MedSAM2Lib.weights.hub import RemoteFile, Report, describe, fetch

_SPARE_BYTES = 64_000_000


def download_model(entry: ModelEntry, models_folder: Path, report: Report | None = None) -> Path:
    """Makes sure that a model is installed, and returns its file. The caller has asked for the licence's acceptance.

    A file that is there and unchanged is left alone, without any request. Else it is fetched to a hidden partial file
    beside it, compared with the hub's checksum (and the catalogue's), opened as a checkpoint, and only then given its
    name, with a ``.sha256`` beside it. A partial file is resumed by the next call; a wrong one is removed.

    Raises:
        DownloadError: ``E_DOWNLOAD_...``, as ``hub.describe`` and ``hub.fetch`` raise; ``E_DOWNLOAD_CHECKSUM``,
            ``E_DOWNLOAD_WRONG_MODEL``, ``E_DOWNLOAD_NOT_POSSIBLE`` (the embedded model).
    """
    if entry.repository is None:
        raise DownloadError(
            "E_DOWNLOAD_NOT_POSSIBLE",
            "The model {name} ships with MedSAM2Slicer and is not downloaded; if it is missing, install that again.",
            name=entry.name,
        )
    path = model_path(entry, models_folder)
    if _is_intact(path, entry):
        return path
    remote = describe(entry.repository, entry.file)
    _check_known(remote, entry)
    partial = _prepare_partial(path, remote)
    _check_space(partial, remote.size or int(entry.megabytes * 1e6))
    fetch(remote, partial, report)
    checksum = _checked(partial, remote, entry)
    try:
        write_sidecar(path, checksum)
        partial.replace(path)
    except OSError as error:
        raise _not_written(path, error) from error
    return path


def remove_model(entry: ModelEntry, models_folder: Path) -> list[Path]:
    """Removes a downloaded model, its sidecar and any partial download; returns what was removed.

    Raises:
        ModelError: ``E_MODEL_NOT_REMOVABLE`` for the embedded model, or where the system forbids it.
    """
    if entry.is_embedded:
        raise ModelError(
            "E_MODEL_NOT_REMOVABLE",
            "The model {name} ships with MedSAM2Slicer and is removed with it only: leave it.",
            name=entry.name,
        )
    removed = []
    for file in stored_files(entry, models_folder):
        try:
            file.unlink()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise _not_removable(entry, f"{file}: {error.strerror}") from error
        removed.append(file)
    return removed


def stored_files(entry: ModelEntry, models_folder: Path) -> list[Path]:
    """What is on this machine of a model: its file, its sidecar, partial downloads."""
    path = model_path(entry, models_folder)
    return [file for file in (path, sidecar_of(path), *_partials(path)) if file.exists()]


def _not_removable(entry: ModelEntry, reason: str) -> ModelError:
    return ModelError(
        "E_MODEL_NOT_REMOVABLE",
        "The model {name} cannot be removed ({reason}): check the permissions, and close the programs that use it.",
        name=entry.name,
        reason=reason,
    )


def _is_intact(path: Path, entry: ModelEntry) -> bool:
    if not path.is_file():
        return False
    try:
        verified_checksum(path, entry.sha256)
    except ModelError:
        return False
    return True


def _check_known(remote: RemoteFile, entry: ModelEntry) -> None:
    if entry.sha256 and remote.sha256 and entry.sha256 != remote.sha256:
        raise DownloadError(
            "E_DOWNLOAD_CHECKSUM",
            "The hub's {file} is not the file that this version of MedSAM2Slicer knows; nothing was downloaded. "
            "Look for a newer version, or download the file yourself and give its path.",
            file=entry.file,
        )


def _partials(path: Path) -> list[Path]:
    return sorted(path.parent.glob(f".{path.name}.*.part"))


def _prepare_partial(path: Path, remote: RemoteFile) -> Path:
    """The partial file of this version of the model; those of other versions are removed."""
    version = "".join(character for character in remote.etag if character.isalnum())[:16]
    partial = path.with_name(f".{path.name}.{version}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for other in _partials(path):
            if other != partial:
                other.unlink(missing_ok=True)
    except OSError as error:
        raise _not_written(path, error) from error
    return partial


def _not_written(path: Path, error: OSError) -> DownloadError:
    return DownloadError(
        "E_DOWNLOAD_NOT_WRITTEN",
        "The models folder {folder} cannot be written to ({reason}); choose another with --folder or MEDSAM2_MODELS.",
        folder=path.parent,
        reason=error.strerror,
    )


def _check_space(partial: Path, size: int) -> None:
    have = partial.stat().st_size if partial.exists() else 0
    free = shutil.disk_usage(partial.parent).free
    needed = size - have + _SPARE_BYTES
    if free < needed:
        raise DownloadError(
            "E_DOWNLOAD_NO_SPACE",
            "{folder} has {free:.0f} MB free, and the download needs {needed:.0f} MB; make room, or choose another "
            "folder with --folder or MEDSAM2_MODELS.",
            folder=partial.parent,
            free=free / 1e6,
            needed=needed / 1e6,
        )


def _checked(partial: Path, remote: RemoteFile, entry: ModelEntry) -> str:
    """The checksum of a fetched file that is what the catalogue promises; else the file is removed."""
    checksum = sha256_of(partial)
    expected = entry.sha256 or remote.sha256
    if expected is not None and checksum != expected:
        partial.unlink()
        raise DownloadError(
            "E_DOWNLOAD_CHECKSUM",
            "{file} arrived damaged (its SHA-256 is not the expected one) and was thrown away; download it again.",
            file=entry.file,
        )
    problem = _problem_with(partial, entry)
    if problem is not None:
        partial.unlink()
        raise DownloadError(
            "E_DOWNLOAD_WRONG_MODEL",
            "What arrived as {file} is not the model {name}, and was thrown away: {problem}",
            file=entry.file,
            name=entry.name,
            problem=problem,
        )
    return checksum


def _problem_with(partial: Path, entry: ModelEntry) -> str | None:
    """Why a fetched file is not the catalogue's model, or None. Returned, because an error would hold the file open."""
    from MedSAM2Lib.weights.architecture import architecture_name
    from MedSAM2Lib.weights.loading import open_checkpoint

    try:
        config = open_checkpoint(partial, default_image_size=entry.image_size).config
    except ModelError as error:
        return str(error)
    found = f"SAM {config.sam_version} {architecture_name(config)}"
    promised = f"SAM {entry.sam_version} {entry.architecture}"
    return None if found == promised else f"It is a {found} network instead of {promised}."
