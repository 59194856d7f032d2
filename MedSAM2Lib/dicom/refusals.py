"""Why a DICOM-SEG is not written, and what its user should know about one that is."""

from __future__ import annotations

from dataclasses import dataclass

from MedSAM2Lib.errors import InputError


class SegExportError(InputError):
    """A segmentation that cannot be written as, or read from, a DICOM-SEG; nothing was left on the disk."""


@dataclass(frozen=True)
class SegWarning:
    """Something that is written all the same: a stable code such as ``W_DEFAULT_TERMINOLOGY``, and one sentence."""

    code: str
    text: str

    def __str__(self) -> str:
        return f"{self.code}: {self.text}"
