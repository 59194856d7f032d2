"""What a DICOM-SEG says of a segment and of the program that made it. Knows no DICOM library."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from MedSAM2Lib import __version__
from MedSAM2Lib.dicom.refusals import SegExportError

AlgorithmType = Literal["MANUAL", "SEMIAUTOMATIC", "AUTOMATIC"]
ALGORITHM_TYPES: tuple[AlgorithmType, ...] = ("MANUAL", "SEMIAUTOMATIC", "AUTOMATIC")

LABEL_BYTES = 64
"""Longest segment label (VR LO); validators count bytes of UTF-8, not letters."""
MOST_SEGMENTS = 65535
_CODE_VALUE_LETTERS = 16
_SCHEME_LETTERS = 16
_MEANING_LETTERS = 64
_RETIRED_SCHEMES = ("SRT", "SNM3", "99SDM")
_UID = re.compile(r"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))+")
_UID_LETTERS = 64
_TEXT_LETTERS = 64


@dataclass(frozen=True)
class Code:
    """A coded concept, as highdicom orders it: value, coding scheme designator ("SCT", "DCM", ...), meaning."""

    value: str
    scheme: str
    meaning: str


TISSUE = Code("85756007", "SCT", "Tissue")
"""3D Slicer's category and type for a segment that nobody described."""
ARTIFICIAL_INTELLIGENCE = Code("123110", "DCM", "Artificial Intelligence")
UNKNOWN_VERSION = "unknown"
"""Of an algorithm of which only the name is told."""


@dataclass(frozen=True)
class AlgorithmInfo:
    """The program that made the segments: its name, its version, and its family of algorithms (CID 7162)."""

    name: str = "MedSAM2Slicer"
    version: str = __version__
    family: Code = ARTIFICIAL_INTELLIGENCE


@dataclass(frozen=True)
class SegmentInfo:
    """One segment.

    Args:
        label: what the user calls it, at most 64 bytes of UTF-8.
        category, type: coded; both None means 3D Slicer's default, Tissue, and a warning.
        type_modifier: for example left or right.
        region, region_modifier: the anatomic region, only where the type does not say it already.
        rgb: 0 to 255 each; a distinct one is made where None.
        algorithm_type: MANUAL for what was only drawn by hand.
        tracking_id, tracking_uid: the object's identity over exports and time; made where None.
        number: its value in the label map; None means its place in the list of segments, from 1.
        algorithm: the program that made it, where that is not the file's; makes no difference between two segments.
    """

    label: str
    category: Code | None = None
    type: Code | None = None
    type_modifier: Code | None = None
    region: Code | None = None
    region_modifier: Code | None = None
    rgb: tuple[int, int, int] | None = None
    algorithm_type: AlgorithmType = "SEMIAUTOMATIC"
    tracking_id: str | None = None
    tracking_uid: str | None = None
    number: int | None = None
    algorithm: AlgorithmInfo | None = field(default=None, compare=False)

    @property
    def codes(self) -> Iterator[tuple[str, Code]]:
        """The codes that are there, by the name of their field."""
        for name in ("category", "type", "type_modifier", "region", "region_modifier"):
            code = getattr(self, name)
            if code is not None:
                yield name, code


def check_segments(segments: Sequence[SegmentInfo], algorithm: AlgorithmInfo) -> None:
    """Raises SegExportError for a segment or an algorithm that no valid file can hold.

    ``E_TOO_MANY``, ``E_EMPTY_LABEL``, ``E_TERMINOLOGY``, ``E_ALGORITHM``, ``E_TRACKING`` (also for two
    segments of one tracking UID), ``E_UNDESCRIBED_LABEL`` for two segments of one number.
    """
    if len(segments) > MOST_SEGMENTS:
        raise SegExportError(
            "E_TOO_MANY",
            "There are {count} segments, and a DICOM-SEG holds at most {most}: export them in several files.",
            count=len(segments),
            most=MOST_SEGMENTS,
        )
    identities: set[str] = set()
    for number, segment in zip(numbers_of(segments), segments):
        if not any(letter.isprintable() and not letter.isspace() for letter in segment.label):
            raise SegExportError(
                "E_EMPTY_LABEL", "Segment {number} has no label: give it a name, for example liver.", number=number
            )
        _check_codes(segment)
        _check_algorithm(segment, segment.algorithm or algorithm)
        _check_tracking(segment)
        if segment.tracking_uid in identities:
            raise _tracking(segment, "UID", "is that of another segment, and each needs its own")
        if segment.tracking_uid is not None:
            identities.add(segment.tracking_uid)


def own_identities(segments: Sequence[SegmentInfo]) -> list[SegmentInfo]:
    """The same, but no tracking identity where an earlier segment has it, as a copy does: it will get a new one."""
    done: list[SegmentInfo] = []
    seen: set[str] = set()
    for segment in segments:
        copied = segment.tracking_uid is not None and segment.tracking_uid in seen
        done.append(replace(segment, tracking_id=None, tracking_uid=None) if copied else segment)
        seen.add(segment.tracking_uid or "")
    return done


def is_uid(text: object) -> bool:
    """Whether this is a UID as DICOM writes them: numbers with dots between, at most 64 letters."""
    return isinstance(text, str) and len(text) <= _UID_LETTERS and _UID.fullmatch(text) is not None


def is_one_text(text: object) -> bool:
    """Whether this fits into one value of DICOM: at most 64 bytes of UTF-8, no backslash and no control character."""
    return (
        isinstance(text, str)
        and "\\" not in text
        and all(letter.isprintable() for letter in text)
        and len(text.encode()) <= _TEXT_LETTERS
    )


def numbers_of(segments: Sequence[SegmentInfo]) -> list[int]:
    """The value of each segment in the label map. Raises SegExportError where two share one, or one is below 1."""
    numbers = [place if one.number is None else one.number for place, one in enumerate(segments, start=1)]
    seen: set[int] = set()
    for number in numbers:
        if number < 1 or number in seen:
            raise SegExportError(
                "E_UNDESCRIBED_LABEL",
                "The number {number} is given to two segments or is below 1: each segment needs its own number, the "
                "one of its voxels in the mask.",
                number=number,
            )
        seen.add(number)
    return numbers


def _check_codes(segment: SegmentInfo) -> None:
    if (segment.category is None) != (segment.type is None):
        raise _terminology(segment, "category" if segment.category is None else "type", "is missing")
    for name, code in segment.codes:
        if not (code.value.strip() and code.scheme.strip() and code.meaning.strip()):
            raise _terminology(segment, name, "lacks its value, scheme or meaning")
        if len(code.value) > _CODE_VALUE_LETTERS or len(code.scheme) > _SCHEME_LETTERS:
            raise _terminology(segment, name, "has a value or scheme of more than 16 letters")
        if len(code.meaning.encode()) > _MEANING_LETTERS or "\\" in code.value + code.scheme + code.meaning:
            raise _terminology(segment, name, "has a meaning of more than 64 bytes, or a backslash")
        if code.scheme in _RETIRED_SCHEMES:
            raise _terminology(segment, name, f"is of the retired scheme {code.scheme}, where SCT is wanted")


def _terminology(segment: SegmentInfo, field: str, fault: str) -> SegExportError:
    return SegExportError(
        "E_TERMINOLOGY",
        "The {field} of segment '{label}' {fault}: give value, scheme and meaning, for example 10200004, SCT, Liver.",
        field=field.replace("_", " "),
        label=segment.label,
        fault=fault,
    )


def _check_algorithm(segment: SegmentInfo, algorithm: AlgorithmInfo) -> None:
    if segment.algorithm_type not in ALGORITHM_TYPES:
        raise SegExportError(
            "E_ALGORITHM",
            "The algorithm type {type} of segment '{label}' is unknown: choose {types}.",
            type=segment.algorithm_type,
            label=segment.label,
            types=", ".join(ALGORITHM_TYPES),
        )
    if segment.algorithm_type != "MANUAL" and not (algorithm.name.strip() and algorithm.version.strip()):
        raise SegExportError(
            "E_ALGORITHM",
            "Segment '{label}' is {type}, so the algorithm's name and version are needed: give both, or mark it "
            "MANUAL.",
            label=segment.label,
            type=segment.algorithm_type,
        )


def _check_tracking(segment: SegmentInfo) -> None:
    if segment.tracking_uid is not None and not is_uid(segment.tracking_uid):
        raise _tracking(segment, "UID", "must be numbers with dots between, at most 64 letters, such as 2.25.1234")
    if segment.tracking_id is not None and not is_one_text(segment.tracking_id):
        raise _tracking(segment, "ID", "must be a text of at most 64 bytes without a backslash")


def _tracking(segment: SegmentInfo, which: str, fault: str) -> SegExportError:
    return SegExportError(
        "E_TRACKING",
        "The tracking {which} of segment '{label}' {fault}: correct it, or leave it out and a new one is made.",
        which=which,
        label=segment.label,
        fault=fault,
    )
