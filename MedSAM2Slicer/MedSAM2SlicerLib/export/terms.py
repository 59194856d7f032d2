"""What a segment is, in codes, as Slicer keeps it: one tag of seven parts, context~category~type~...

Each code is written ``scheme^value^meaning``. Tags that others wrote may be shorter, or name retired codes.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

from MedSAM2Lib.dicom import Code
from MedSAM2SlicerLib.scene.segment_tags import get_tag, set_tag

CONTEXT = "Segmentation category and type - 3D Slicer General Anatomy list"
REGION_CONTEXT = "Anatomic codes - DICOM master list"
TISSUE = "85756007"
"""The value of Slicer's category and type for a segment that nobody described."""
_EMPTY = "^^"
_PLACES = {"category": 1, "type": 2, "type_modifier": 3, "region": 5, "region_modifier": 6}


@dataclass(frozen=True)
class Terms:
    """The codes of a segment; None where the tag has none."""

    category: Code | None = None
    type: Code | None = None
    type_modifier: Code | None = None
    region: Code | None = None
    region_modifier: Code | None = None

    @property
    def described(self) -> bool:
        """Whether they say more than Slicer's default, which is tissue."""
        return self.category is not None and self.type is not None and self.type.value != TISSUE

    @property
    def meaning(self) -> str:
        """In words: "Kidney, Right"."""
        parts = (self.type, self.type_modifier, self.region, self.region_modifier)
        return ", ".join(part.meaning for part in parts if part is not None)


def read_terms(segment: Any) -> Terms:
    """The codes of a segment's tag; missing parts are None, whatever is wrong with the others."""
    parts = get_tag(segment, segment.GetTerminologyEntryTagName()).split("~")
    found = {name: _code(parts[place]) for name, place in _PLACES.items() if place < len(parts)}
    return Terms(**found)


def write_terms(segment: Any, terms: Terms) -> None:
    """Puts codes into the segment's tag; the contexts that were chosen in Slicer stay."""
    name = segment.GetTerminologyEntryTagName()
    before = get_tag(segment, name).split("~")
    parts = [CONTEXT, _EMPTY, _EMPTY, _EMPTY, REGION_CONTEXT, _EMPTY, _EMPTY]
    for place in (0, 4):
        if place < len(before) and before[place].strip():
            parts[place] = before[place]
    for each in fields(terms):
        code = getattr(terms, each.name)
        if code is not None:
            parts[_PLACES[each.name]] = f"{code.scheme}^{code.value}^{code.meaning}"
    set_tag(segment, name, "~".join(parts))


def completed(terms: Terms) -> Terms:
    """The same; Slicer's default, tissue, where category or type is missing."""
    tissue = Code(TISSUE, "SCT", "Tissue")
    return replace(terms, category=terms.category or tissue, type=terms.type or tissue)


def _code(text: str) -> Code | None:
    scheme, value, meaning = (*(part.strip() for part in text.split("^")), "", "", "")[:3]
    return Code(value, scheme, meaning) if value or scheme or meaning else None
