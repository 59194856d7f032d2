"""What a segment is, in codes, as 3D Slicer keeps it: one tag of seven parts, context~category~type~...

Each code is written ``scheme^value^meaning``. Tags that others wrote may be shorter, or name retired codes.
"""

from __future__ import annotations

from collections.abc import Mapping

from MedSAM2Lib.dicom.segment_info import Code, is_one_text, is_uid

_EMPTY = "^^"
_CONTEXTS = {
    0: "Segmentation category and type - 3D Slicer General Anatomy list",
    4: "Anatomic codes - DICOM master list",
}
_PLACES = {"category": 1, "type": 2, "type_modifier": 3, "region": 5, "region_modifier": 6}


def codes_in(entry: str) -> dict[str, Code | None]:
    """Category, type, type_modifier, region and region_modifier; missing ones None, whatever is wrong with others."""
    parts = entry.split("~")
    return {name: _code(parts[place]) if place < len(parts) else None for name, place in _PLACES.items()}


def entry_of(codes: Mapping[str, Code | None], before: str = "") -> str:
    """The tag of these codes, by the names of ``codes_in``; the contexts of the tag ``before`` stay."""
    old = before.split("~")
    parts = [_EMPTY] * 7
    for place, context in _CONTEXTS.items():
        parts[place] = old[place] if place < len(old) and old[place].strip() else context
    for name, code in codes.items():
        if code is not None:
            parts[_PLACES[name]] = f"{code.scheme}^{code.value}^{code.meaning}"
    return "~".join(parts)


def sound_identity(tracking_id: str, tracking_uid: str) -> tuple[str | None, str | None]:
    """A tag's tracking ID and UID; None for what no file can hold."""
    return (
        tracking_id if tracking_id and is_one_text(tracking_id) else None,
        tracking_uid if is_uid(tracking_uid) else None,
    )


def _code(text: str) -> Code | None:
    scheme, value, meaning = (*(part.strip() for part in text.split("^")), "", "", "")[:3]
    return Code(value, scheme, meaning) if value or scheme or meaning else None
