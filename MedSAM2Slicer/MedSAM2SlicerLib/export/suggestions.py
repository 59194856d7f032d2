"""Codes for a segment from its name, out of the engine's small table of SNOMED codes; offline."""

from __future__ import annotations

from typing import Any

from MedSAM2Lib.dicom import suggest
from MedSAM2SlicerLib.export.terms import TISSUE, Terms, read_terms


def suggestion_for(segment: Any) -> Terms | None:
    """What the segment's name says, or else the meaning of a code that is there but retired; None for neither."""
    kind = read_terms(segment).type
    meaning = kind.meaning if kind is not None and kind.value != TISSUE else ""
    for name in (str(segment.GetName() or ""), meaning):
        entry = suggest(name) if name.strip() else None
        if entry is not None:
            return Terms(entry.category, entry.type, entry.type_modifier, entry.region, entry.region_modifier)
    return None
