"""Segments in the header of a ``.seg.nrrd``, as 3D Slicer writes them there, and as the offline table knows them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from MedSAM2Lib.dicom import AlgorithmInfo, Code, SegmentInfo, suggest
from MedSAM2Lib.dicom.segment_info import ALGORITHM_TYPES, UNKNOWN_VERSION, is_one_text, own_identities
from MedSAM2Lib.dicom.slicer_tags import codes_in, entry_of, sound_identity
from MedSAM2Lib.volume.io.labels import Segment

_CODES = ("category", "type", "type_modifier", "region", "region_modifier")
_TISSUE = ("85756007", "T-D0050")
"""Slicer's default for a segment that nobody described, today and in older versions."""
_TERMS = "TerminologyEntry"
_ALGORITHM_TYPE, _ALGORITHM_NAME = "DICOM.SegmentAlgorithmType", "DICOM.SegmentAlgorithmName"
_TRACKING_ID, _TRACKING_UID = "DICOM.TrackingID", "DICOM.TrackingUID"


def described_by_header(segments: Sequence[Segment]) -> list[SegmentInfo]:
    """Segments 1, 2, ... by their tags and colours, with the table's codes where the tags say no more than tissue.

    Identities that no file can hold, or that an earlier segment has, as a copy does, count as missing.
    """
    return own_identities([_described(segment, number) for number, segment in enumerate(segments, start=1)])


def described_by_name(name: str, number: int) -> SegmentInfo:
    """A segment with the codes and colour that the table suggests for its name, or none."""
    entry = suggest(name)
    if entry is None:
        return SegmentInfo(name, number=number)
    return SegmentInfo(
        label=name,
        category=entry.category,
        type=entry.type,
        type_modifier=entry.type_modifier,
        region=entry.region,
        region_modifier=entry.region_modifier,
        rgb=entry.rgb,
        number=number,
    )


def tags_of(segment: SegmentInfo) -> str:
    """The tags of a segment from its terminology on: codes, the program that made it, its identity."""
    named: dict[str, str | None] = {
        _TERMS: entry_of({name: getattr(segment, name) for name in _CODES}),
        _ALGORITHM_TYPE: segment.algorithm_type,
        _ALGORITHM_NAME: None if segment.algorithm is None else segment.algorithm.name,
        _TRACKING_ID: segment.tracking_id,
        _TRACKING_UID: segment.tracking_uid,
    }
    return "|".join(f"{name}:{text}" for name, text in named.items() if text and "|" not in text)


def _described(segment: Segment, number: int) -> SegmentInfo:
    tags = dict(_tags(segment.tags))
    codes = _codes(tags.get(_TERMS, ""))
    info = described_by_name(segment.name, number) if codes is None else SegmentInfo(segment.name, number=number)
    kind, program = tags.get(_ALGORITHM_TYPE, ""), tags.get(_ALGORITHM_NAME, "")
    own = program in ("", AlgorithmInfo().name) or not is_one_text(program)
    tracking_id, tracking_uid = sound_identity(tags.get(_TRACKING_ID, ""), tags.get(_TRACKING_UID, ""))
    chosen = info.rgb is None or not segment.color_is_automatic
    return replace(
        info if codes is None else replace(info, **codes),  # type: ignore[arg-type]
        rgb=(_rgb(segment.color) if chosen else None) or info.rgb,
        algorithm_type=kind if kind in ALGORITHM_TYPES else "SEMIAUTOMATIC",
        algorithm=None if own else AlgorithmInfo(program, UNKNOWN_VERSION),
        tracking_id=tracking_id,
        tracking_uid=tracking_uid,
    )


def _tags(text: str) -> Iterator[tuple[str, str]]:
    for tag in text.split("|"):
        name, _, value = tag.partition(":")
        yield name.strip(), value.strip()


def _codes(entry: str) -> dict[str, Code | None] | None:
    """The codes of a TerminologyEntry; None where it describes nothing."""
    found = codes_in(entry)
    kind = found["type"]
    if found["category"] is None or kind is None or kind.value in _TISSUE:
        return None
    return found


def _rgb(text: str) -> tuple[int, int, int] | None:
    try:
        red, green, blue = (round(255 * min(max(float(part), 0.0), 1.0)) for part in text.split())
    except ValueError:
        return None
    return red, green, blue
