"""SHA-256 of model files, and the sidecar that keeps it beside a downloaded file."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from MedSAM2Lib.errors import ModelError

_BLOCK = 1 << 20
_HEX = re.compile(r"[0-9a-f]{64}")


def sha256_of(path: Path) -> str:
    """The file's SHA-256 in lower-case hexadecimal; raises OSError."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def sidecar_of(path: Path) -> Path:
    """The file beside ``path`` that keeps its checksum, in the format of ``sha256sum``."""
    return path.with_name(path.name + ".sha256")


def write_sidecar(path: Path, checksum: str) -> None:
    """Keeps the checksum of ``path``; raises OSError."""
    sidecar_of(path).write_text(f"{checksum}  {path.name}\n", encoding="utf-8")


def kept_checksum(path: Path) -> str | None:
    """The checksum kept for ``path`` at its download, or None where there is none, or none that is one."""
    sidecar = sidecar_of(path)
    if not sidecar.is_file():
        return None
    found = _HEX.match(sidecar.read_text(encoding="utf-8", errors="replace").lower())
    return found.group() if found else None


_FETCH_AGAIN = "remove it and download it again with `medsam2 models download`"


def verified_checksum(path: Path, expected: str | None, remedy: str = _FETCH_AGAIN) -> str:
    """The file's checksum, compared with ``expected`` and with the sidecar's where there are such.

    ``remedy`` is what the error advises.

    Raises:
        ModelError: ``E_CHECKSUM`` if the file is not the one that was kept; OSError if it cannot be read.
    """
    actual = sha256_of(path)
    for known in (expected, kept_checksum(path)):
        if known is not None and known != actual:
            raise ModelError(
                "E_CHECKSUM",
                "The model file {path} is not the one that was installed (its SHA-256 begins {actual}, not {known}): "
                "it is damaged or was changed; {remedy}.",
                path=path,
                remedy=remedy,
                actual=actual[:12],
                known=known[:12],
            )
    return actual
