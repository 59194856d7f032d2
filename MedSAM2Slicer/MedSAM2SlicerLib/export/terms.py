"""What a segment of the scene is, in codes, from its tag and into it."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

from MedSAM2Lib.dicom import Code
from MedSAM2Lib.dicom.slicer_tags import codes_in, entry_of
from MedSAM2SlicerLib.scene.segment_tags import get_tag, set_tag

TISSUE = "85756007"
"""The value of Slicer's category and type for a segment that nobody described."""


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
    return Terms(**codes_in(get_tag(segment, segment.GetTerminologyEntryTagName())))


def write_terms(segment: Any, terms: Terms) -> None:
    """Puts codes into the segment's tag; the contexts that were chosen in Slicer stay."""
    name = segment.GetTerminologyEntryTagName()
    codes = {each.name: getattr(terms, each.name) for each in fields(terms)}
    set_tag(segment, name, entry_of(codes, get_tag(segment, name)))


def completed(terms: Terms) -> Terms:
    """The same; Slicer's default, tissue, where category or type is missing."""
    tissue = Code(TISSUE, "SCT", "Tissue")
    return replace(terms, category=terms.category or tissue, type=terms.type or tissue)
