"""Segments as the items of a DICOM-SEG's Segment Sequence (PS3.3, C.8.20.2), and back."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from MedSAM2Lib.dicom.refusals import SegWarning
from MedSAM2Lib.dicom.segment_info import (
    ARTIFICIAL_INTELLIGENCE,
    LABEL_BYTES,
    TISSUE,
    UNKNOWN_VERSION,
    AlgorithmInfo,
    AlgorithmType,
    Code,
    SegmentInfo,
)
from MedSAM2Lib.volume.io.segmentation_nrrd import distinct_color

if TYPE_CHECKING:
    from highdicom.seg import SegmentDescription
    from highdicom.sr import CodedConcept
    from pydicom.dataset import Dataset

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SHORTEST_IDENTITY = 3


def completed(segments: Sequence[SegmentInfo], patient: Dataset) -> tuple[list[SegmentInfo], list[SegWarning]]:
    """The segments as they are written: numbers from 1, labels that fit; codes, colours and identities for all.

    ``patient`` is a header: a warning names labels and tracking IDs that hold the patient's name or identity.
    """
    from pydicom.uid import generate_uid

    done, warnings = [], []
    for number, segment in enumerate(segments, start=1):
        label = fitting_label(segment.label)
        if label != segment.label:
            warnings.append(SegWarning("W_LABEL_CHANGED", f"The label '{segment.label}' was written as '{label}'."))
        if segment.type is None:
            sentence = f"Segment '{label}' has no terminology: it was written as Tissue."
            warnings.append(SegWarning("W_DEFAULT_TERMINOLOGY", sentence))
        if names_patient(label, patient):
            sentence = f"The label '{label}' holds the patient's name or identity."
            warnings.append(SegWarning("W_LABEL_PATIENT", sentence))
        if names_patient(segment.tracking_id or "", patient):
            sentence = f"The tracking ID of '{label}' holds the patient's name or identity."
            warnings.append(SegWarning("W_TRACKING_PATIENT", sentence))
        uid = segment.tracking_uid or str(generate_uid(prefix=None))
        done.append(
            SegmentInfo(
                label=label,
                category=segment.category or TISSUE,
                type=segment.type or TISSUE,
                type_modifier=segment.type_modifier,
                region=segment.region,
                region_modifier=segment.region_modifier,
                rgb=segment.rgb or _distinct(number),
                algorithm_type=segment.algorithm_type,
                tracking_id=segment.tracking_id or uid,
                tracking_uid=uid,
                number=number,
                algorithm=segment.algorithm,
            )
        )
    return done, warnings


def _distinct(number: int) -> tuple[int, int, int]:
    red, green, blue = (round(255 * part) for part in distinct_color(number - 1))
    return red, green, blue


def fitting_label(label: str) -> str:
    """A label of one value and at most 64 bytes: backslashes separate values in DICOM, and bytes are what counts."""
    text = _CONTROL.sub(" ", label.replace("\\", "/")).strip()
    return text.encode()[:LABEL_BYTES].decode(errors="ignore").strip()


def described(segment: SegmentInfo, algorithm: AlgorithmInfo) -> SegmentDescription:
    """The item of a completed segment; ``algorithm`` is that of segments that name none."""
    from highdicom import AlgorithmIdentificationSequence
    from highdicom.color import CIELabColor
    from highdicom.seg import SegmentDescription

    assert segment.category is not None and segment.type is not None and segment.number is not None
    identification = None
    if segment.algorithm_type != "MANUAL":
        own = segment.algorithm or algorithm
        identification = AlgorithmIdentificationSequence(own.name, _concept(own.family), own.version)
    item = SegmentDescription(
        segment_number=segment.number,
        segment_label=segment.label,
        segmented_property_category=_concept(segment.category),
        segmented_property_type=_concept(segment.type),
        algorithm_type=segment.algorithm_type,
        algorithm_identification=identification,
        tracking_uid=segment.tracking_uid,
        tracking_id=segment.tracking_id,
        anatomic_regions=None if segment.region is None else [_concept(segment.region)],
        display_color=None if segment.rgb is None else CIELabColor.from_rgb(*segment.rgb),
    )
    # the constructor has no argument for modifiers
    if segment.type_modifier is not None:
        of_type = item.SegmentedPropertyTypeCodeSequence[0]
        of_type.SegmentedPropertyTypeModifierCodeSequence = [_concept(segment.type_modifier)]
    if segment.region is not None and segment.region_modifier is not None:
        item.AnatomicRegionSequence[0].AnatomicRegionModifierSequence = [_concept(segment.region_modifier)]
    return item


def segment_from(item: Dataset) -> SegmentInfo:
    """What an item of a Segment Sequence says, whoever wrote it."""
    kind = _first(item, "SegmentedPropertyTypeCodeSequence")
    region = _first(item, "AnatomicRegionSequence")
    return SegmentInfo(
        label=str(item.get("SegmentLabel") or f"Segment {item.SegmentNumber}"),
        category=_code(_first(item, "SegmentedPropertyCategoryCodeSequence")),
        type=_code(kind),
        type_modifier=_code(_first(kind, "SegmentedPropertyTypeModifierCodeSequence")),
        region=_code(region),
        region_modifier=_code(_first(region, "AnatomicRegionModifierSequence")),
        rgb=_rgb(item),
        algorithm_type=_algorithm_type(item),
        tracking_id=str(item.get("TrackingID") or "") or None,
        tracking_uid=str(item.get("TrackingUID") or "") or None,
        number=int(item.SegmentNumber),
        algorithm=_algorithm(item),
    )


def names_patient(label: str, patient: Dataset) -> bool:
    """Whether a label holds the name or the identity of the patient of a header."""
    name, identity = str(patient.get("PatientName") or ""), str(patient.get("PatientID") or "")
    parts = [*re.split(r"[\^=, ]+", name), identity]
    words = label.casefold()
    return any(len(part) >= _SHORTEST_IDENTITY and part.casefold() in words for part in parts)


def _concept(code: Code) -> CodedConcept:
    from highdicom.sr import CodedConcept

    return CodedConcept(code.value, code.scheme, code.meaning)


def _first(item: Dataset | None, name: str) -> Dataset | None:
    sequence = None if item is None else item.get(name)
    return sequence[0] if sequence else None


def _code(item: Dataset | None) -> Code | None:
    if item is None:
        return None
    value = item.get("CodeValue") or item.get("LongCodeValue") or item.get("URNCodeValue") or ""
    return Code(str(value), str(item.get("CodingSchemeDesignator") or ""), str(item.get("CodeMeaning") or ""))


def _rgb(item: Dataset) -> tuple[int, int, int] | None:
    from highdicom.color import CIELabColor

    value = item.get("RecommendedDisplayCIELabValue")
    if not value or len(value) != 3:
        return None
    red, green, blue = CIELabColor.from_dicom_value([int(part) for part in value]).to_rgb(clip=True)
    return int(red), int(green), int(blue)


def _algorithm(item: Dataset) -> AlgorithmInfo | None:
    told = _first(item, "SegmentationAlgorithmIdentificationSequence")
    name = str((told.get("AlgorithmName") if told is not None else None) or item.get("SegmentAlgorithmName") or "")
    if not name:
        return None
    version = "" if told is None else str(told.get("AlgorithmVersion") or "")
    family = _code(_first(told, "AlgorithmFamilyCodeSequence"))
    return AlgorithmInfo(name, version or UNKNOWN_VERSION, family or ARTIFICIAL_INTELLIGENCE)


def _algorithm_type(item: Dataset) -> AlgorithmType:
    kind = str(item.get("SegmentAlgorithmType") or "")
    return "AUTOMATIC" if kind == "AUTOMATIC" else "SEMIAUTOMATIC" if kind == "SEMIAUTOMATIC" else "MANUAL"
