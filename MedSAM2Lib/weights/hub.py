"""The only place that talks to the network: one file of a Hugging Face repository, asked about and fetched."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from MedSAM2Lib import __version__
from MedSAM2Lib.errors import DownloadError

Report = Callable[[int], None]
"""Told the number of bytes of the file that are on the disk, after each piece."""

# Read by huggingface_hub once, when it is first imported. Xet would fetch from servers of its own and without a partial
# file to resume; telemetry asks the hub for more than the file.
_ENVIRONMENT = {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
_CLIENT = "MedSAM2Slicer"
_SHA256 = re.compile(r"[0-9a-f]{64}")
_RESUMABLE = ("E_DOWNLOAD_OFFLINE", "E_DOWNLOAD_SERVER")
_RANGE_REFUSED = 416
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)


@dataclass(frozen=True)
class RemoteFile:
    """A file as the hub describes it: the address of this very version, its bytes, its SHA-256 where the hub has it."""

    repository: str
    file: str
    url: str
    etag: str
    size: int | None
    sha256: str | None


def describe(repository: str, file: str) -> RemoteFile:
    """Asks the hub about a file of a repository, in one request.

    The hub is huggingface.co, or the server of ``$HF_ENDPOINT``; a token is sent if the user has logged in there.

    Raises:
        DownloadError: ``E_DOWNLOAD_OFFLINE``, ``_REFUSED``, ``_NOT_FOUND`` or ``_SERVER``.
    """
    _prepare_environment()
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    try:
        metadata = get_hf_file_metadata(hf_hub_url(repository, file), library_name=_CLIENT, library_version=__version__)
    except _client_errors() as error:
        raise _explained(error, repository, file) from error
    if metadata.etag is None or metadata.commit_hash is None:
        raise DownloadError(
            "E_DOWNLOAD_SERVER",
            "The server did not answer like the Hugging Face hub when asked for {file} of {repository}; check the "
            "network's proxy, and HF_ENDPOINT if it is set.",
            repository=repository,
            file=file,
        )
    url = hf_hub_url(repository, file, revision=metadata.commit_hash)
    sha256 = metadata.etag if _SHA256.fullmatch(metadata.etag) else None
    return RemoteFile(repository, file, url, metadata.etag, metadata.size, sha256)


def fetch(remote: RemoteFile, partial: Path, report: Report | None = None) -> None:
    """Fetches a file into ``partial``, from the byte where an earlier attempt ended.

    On a terminal huggingface_hub shows its progress bar. A connection that breaks is tried again a few times; if it
    stays broken, ``partial`` is kept for the next attempt. Anything else that goes wrong removes it.

    Raises:
        DownloadError: ``E_DOWNLOAD_INTERRUPTED`` (resumable), ``_SIZE``, ``_NO_SPACE``, or as ``describe`` raises.
    """
    _prepare_environment()
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers

    try:
        with _ReportingFile(partial, report) as file:
            http_get(
                remote.url,
                cast(BinaryIO, file),
                resume_size=file.tell(),
                headers=build_hf_headers(library_name=_CLIENT, library_version=__version__),
                expected_size=remote.size,
                displayed_filename=remote.file,
            )
    except _client_errors() as error:
        raise _interrupted(_explained(error, remote.repository, remote.file), partial) from error


def _interrupted(problem: DownloadError, partial: Path) -> DownloadError:
    """The error of a download under way: what a later attempt can go on from is kept, anything else is removed."""
    done = partial.stat().st_size if partial.exists() else 0
    if done and problem.code in _RESUMABLE and problem.fields.get("status") != _RANGE_REFUSED:
        return DownloadError(
            "E_DOWNLOAD_INTERRUPTED",
            "The download of {file} broke off after {megabytes:.1f} MB; run the same command again to go on from "
            "there.",
            file=problem.fields["file"],
            megabytes=done / 1e6,
        )
    with contextlib.suppress(OSError):
        partial.unlink()
    return problem


class _ReportingFile(io.BufferedWriter):
    """A file opened for appending that tells how far it has got."""

    def __init__(self, path: Path, report: Report | None) -> None:
        super().__init__(io.FileIO(path, "ab"))
        self._report = report

    def write(self, data: bytes) -> int:  # type: ignore[override]
        count = super().write(data)
        if self._report:
            self._report(self.tell())
        return count


def _prepare_environment() -> None:
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)


def _client_errors() -> tuple[type[BaseException], ...]:
    """What huggingface_hub raises; its HTTP client, and so the base class of its errors, differs between versions."""
    from huggingface_hub.utils import HfHubHTTPError

    return (OSError, HfHubHTTPError, *HfHubHTTPError.__bases__)


def _explained(error: BaseException, repository: str, file: str) -> DownloadError:
    from huggingface_hub.utils import (
        EntryNotFoundError,
        GatedRepoError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    fields = {"repository": repository, "file": file}
    # Older versions raise their client's own error for some answers; all of them keep the answer.
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, OfflineModeIsEnabled):
        return DownloadError(
            "E_DOWNLOAD_OFFLINE",
            "{file} was not downloaded because HF_HUB_OFFLINE is set; unset it, or copy the file into the models "
            "folder.",
            **fields,
        )
    if isinstance(error, GatedRepoError) or status in (401, 403):
        return DownloadError(
            "E_DOWNLOAD_REFUSED",
            "The hub does not give {file} to everyone: accept the terms at https://huggingface.co/{repository}, then "
            "log in with `hf auth login` (or set HF_TOKEN) and try again.",
            **fields,
        )
    if isinstance(error, (EntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError)) or status == 404:
        return DownloadError(
            "E_DOWNLOAD_NOT_FOUND",
            "There is no {file} in {repository} on the hub any more; look for a newer version of MedSAM2Slicer.",
            **fields,
        )
    if status is not None:
        return DownloadError(
            "E_DOWNLOAD_SERVER",
            "The hub answered {status} when asked for {file} of {repository}; try again later.",
            status=status,
            **fields,
        )
    return _explained_system_error(error, fields)


def _explained_system_error(error: BaseException, fields: dict[str, str]) -> DownloadError:
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.ENOSPC:
        return DownloadError(
            "E_DOWNLOAD_NO_SPACE", "The disk is full; make room for {file} and download it again.", **fields
        )
    if type(error) is OSError and number is None:
        # huggingface_hub's own check of the size, the one plain OSError it raises.
        return DownloadError(
            "E_DOWNLOAD_SIZE",
            "{file} did not have the size that the hub announced, and was thrown away; download it again.",
            **fields,
        )
    if number in _FORBIDDEN or getattr(error, "filename", None) is not None:
        return DownloadError(
            "E_DOWNLOAD_NOT_WRITTEN",
            "{file} could not be written ({reason}); choose another models folder with --folder or MEDSAM2_MODELS.",
            reason=os.strerror(number) if number else type(error).__name__,
            **fields,
        )
    return DownloadError(
        "E_DOWNLOAD_OFFLINE",
        "The hub could not be reached for {file} ({reason}); check the network and its proxy, then try again.",
        reason=type(error).__name__,
        **fields,
    )
