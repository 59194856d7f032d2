"""The offline table of SNOMED CT codes: true to pydicom's dictionary, and found by the names that people use."""

from __future__ import annotations

import pytest

from MedSAM2Lib.dicom import SegmentInfo, check_segments, suggest
from MedSAM2Lib.dicom.segment_info import AlgorithmInfo, Code
from MedSAM2Lib.dicom.terminology import terminology

SLICERS_CATEGORY = Code("123037004", "SCT", "Anatomical Structure")
"""The category of 3D Slicer's and IDC's segments; pydicom calls the same code "Body structure"."""
TOTAL_SEGMENTATOR = [
    "spleen",
    "kidney_right",
    "kidney_left",
    "gallbladder",
    "liver",
    "stomach",
    "pancreas",
    "adrenal_gland_right",
    "adrenal_gland_left",
    "lung_upper_lobe_left",
    "lung_lower_lobe_left",
    "lung_upper_lobe_right",
    "lung_middle_lobe_right",
    "lung_lower_lobe_right",
    "esophagus",
    "trachea",
    "thyroid_gland",
    "small_bowel",
    "duodenum",
    "colon",
    "urinary_bladder",
    "prostate",
    "kidney_cyst_left",
    "kidney_cyst_right",
    "sacrum",
    "vertebrae_L5",
    "vertebrae_L1",
    "vertebrae_T12",
    "vertebrae_T1",
    "vertebrae_C7",
    "vertebrae_C1",
    "heart",
    "aorta",
    "pulmonary_vein",
    "brachiocephalic_trunk",
    "subclavian_artery_right",
    "common_carotid_artery_left",
    "brachiocephalic_vein_left",
    "superior_vena_cava",
    "inferior_vena_cava",
    "iliac_artery_left",
    "iliac_vena_right",
    "humerus_left",
    "scapula_right",
    "clavicula_left",
    "femur_right",
    "hip_left",
    "spinal_cord",
    "brain",
    "skull",
    "rib_left_1",
    "rib_right_12",
    "sternum",
    "costal_cartilages",
    "heart_atrium_left",
    "heart_ventricle_right",
]


def test_every_code_is_one_that_pydicom_knows_by_that_meaning() -> None:
    concepts = pytest.importorskip("pydicom.sr._concepts_dict").concepts
    known: dict[str, set[str]] = {}
    for spellings in concepts["SCT"].values():
        for value, (meaning, _) in spellings.items():
            known.setdefault(value, set()).add(meaning.casefold())
    table = terminology()
    codes = {
        *table.sides.values(),
        *(code for entry in table.entries.values() for code in (entry.type, entry.category)),
    }
    assert len({entry.type for entry in table.entries.values()}) >= 100
    for code in codes - {SLICERS_CATEGORY}:
        assert code.scheme == "SCT"
        assert code.meaning.casefold() in known[code.value], code
    family = AlgorithmInfo().family
    assert (family.value, family.meaning) in {
        (value, meaning) for spellings in concepts["DCM"].values() for value, (meaning, _) in spellings.items()
    }
    assert SLICERS_CATEGORY in codes
    assert SLICERS_CATEGORY.value in known


@pytest.mark.parametrize(
    ("name", "meanings"),
    [
        ("Liver", ["Liver"]),
        ("  LIVER mask ", ["Liver"]),
        ("rt kidney", ["Kidney", "Right"]),
        ("kidney_left", ["Kidney", "Left"]),
        ("Kidney (L)", ["Kidney", "Left"]),
        ("leftKidney", ["Kidney", "Left"]),
        ("Kidneys", ["Kidney"]),
        ("ren sinister", ["Kidney", "Left"]),
        ("Glándula thyroidea", ["Thyroid"]),
        ("oesophagus", ["Esophagus"]),
        ("left atrium", ["Left atrium"]),
        ("vertebrae_L1", ["L1 vertebra"]),
        ("vena cava inferior", ["Inferior vena cava"]),
        ("liver tumour 2", ["Neoplasm", None, "Liver"]),
        ("kidney_cyst_left", ["Cyst", None, "Kidney", "Left"]),
    ],
)
def test_names_are_understood_whatever_their_spelling(name: str, meanings: list[str | None]) -> None:
    entry = suggest(name)
    assert entry is not None
    codes = (entry.type, entry.type_modifier, entry.region, entry.region_modifier)
    found = [None if code is None else code.meaning for code in codes]
    assert found == meanings + [None] * (4 - len(meanings))


@pytest.mark.parametrize(
    "name", ["", "Segment_1", "organ", "T1", "left", "liver spleen", "spleen left", "kidney stone"]
)
def test_names_that_say_too_little_or_other_things_get_no_code(name: str) -> None:
    assert suggest(name) is None


@pytest.mark.parametrize("name", TOTAL_SEGMENTATOR)
def test_names_of_total_segmentator_are_in_the_table(name: str) -> None:
    entry = suggest(name)
    assert entry is not None
    side = entry.type_modifier or entry.region_modifier
    if name.endswith(("_left", "_right")) and "middle" not in name and "heart" not in name:
        assert side is not None
        assert side.meaning.lower() == name.rsplit("_", 1)[1]
    segment = SegmentInfo(
        name,
        entry.category,
        entry.type,
        type_modifier=entry.type_modifier,
        region=entry.region,
        region_modifier=entry.region_modifier,
        rgb=entry.rgb,
    )
    check_segments([segment], AlgorithmInfo())
