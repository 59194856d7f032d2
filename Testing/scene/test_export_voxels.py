"""A segmentation of the scene as DICOM-SEG: the same voxels in two other readers, whatever the volume's geometry."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from MedSAM2SlicerLib.export.exporting import prepare
from MedSAM2SlicerLib.export.preflight import preflight

from SlicerHost.scene import Core
from Testing.scene.dicom_ground import (
    SHAPE,
    add_segments,
    blocks,
    load_ct,
    oblique,
    read_by_dcmqi,
    read_by_highdicom,
    subject_of,
    write_ct,
)

NAMES = ["liver", "left kidney", "something"]
GEOMETRIES = {"straight": None, "oblique": oblique(), "downwards": np.diag([0.8, 0.9, -2.5, 1.0])}


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_the_file_holds_each_segment_voxel_for_voxel_in_two_readers(
    core: Core, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, geometry: str
) -> None:
    volume = load_ct(core, write_ct(tmp_path / "ct", GEOMETRIES[geometry]), monkeypatch)
    masks = blocks(volume.GetImageData().GetDimensions()[::-1])
    segmentation, _ = add_segments(volume, masks, NAMES)
    written = prepare(subject_of(volume, segmentation)).run(tmp_path / "out")
    found = read_by_highdicom(written.path, volume)
    assert list(found) == NAMES
    for mask, one, other in zip(
        masks, found.values(), read_by_dcmqi(written.path, volume, tmp_path / "dcmqi"), strict=True
    ):
        assert np.array_equal(one, mask)
        assert np.array_equal(other, mask)
    assert [path.name for path in (tmp_path / "out").iterdir()] == [written.path.name]
    assert written.size == written.path.stat().st_size


def test_a_real_ct_gets_three_segments_that_other_readers_see(
    core: Core, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared_data: Path
) -> None:
    folder = shared_data / "ct_dicom"
    if not folder.is_dir():
        pytest.skip(f"the DICOM series is not here: {folder}")
    volume = load_ct(core, folder, monkeypatch)
    masks = blocks(volume.GetImageData().GetDimensions()[::-1])
    segmentation, _ = add_segments(volume, masks, NAMES)
    subject = subject_of(volume, segmentation)
    assert {line.code for line in preflight(subject)} == {"", "W_DEFAULT_TERMINOLOGY"}
    written = prepare(subject).run(tmp_path / "out")
    for mask, one, other in zip(
        masks,
        read_by_highdicom(written.path, volume).values(),
        read_by_dcmqi(written.path, volume, tmp_path / "dcmqi"),
        strict=True,
    ):
        assert np.array_equal(one, mask)
        assert np.array_equal(other, mask)


def test_a_series_as_it_was_published_without_identifiers_is_refused(
    core: Core, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared_data: Path
) -> None:
    folder = shared_data / "ct_dicom_as_published"
    if not folder.is_dir():
        pytest.skip(f"the DICOM series is not here: {folder}")
    volume = load_ct(core, write_ct(tmp_path / "ct"), monkeypatch)
    segmentation, _ = add_segments(volume, blocks(SHAPE), NAMES)
    line = preflight(subject_of(volume, segmentation, folder))[0]
    assert (line.code, line.state) == ("E_SOURCE_UID", "fails")
