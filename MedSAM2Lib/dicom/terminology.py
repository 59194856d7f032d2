"""Suggested SNOMED CT codes for the names that people give to segments; offline."""

from __future__ import annotations

from dataclasses import dataclass

from MedSAM2Lib.dicom.segment_info import Code


@dataclass(frozen=True)
class TerminologyEntry:
    """How a structure is coded: ``names`` it goes by, its codes, and the colour it is usually shown in (0 to 255)."""

    names: tuple[str, ...]
    category: Code
    type: Code
    type_modifier: Code | None
    region: Code | None
    rgb: tuple[int, int, int]


def suggest(name: str) -> TerminologyEntry | None:
    """The entry of a segment's name, or None where the table has none."""
    return None
