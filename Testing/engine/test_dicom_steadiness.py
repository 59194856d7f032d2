"""Order of the source, killed runs, both supported versions, a source left as it is, nothing leaked."""

from __future__ import annotations

import pickle
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from MedSAM2Lib.dicom import SourceGrid, check_dicom_seg, export_dicom_seg, import_dicom_seg
from Testing.benchmarks.dicom_seg import KINDS, START
from Testing.engine.dicom_ground import SEGMENTS, SHAPE, affine_of, assert_same, blobs, masks_of, saved, series

ROOT = Path(__file__).resolve().parents[2]
OLDEST = Path(sys.prefix) / "highdicom-0.27"
PLANTED = (
    "Street of Pain 1",
    "SCANNER-7",
    "lives alone",
    "Ward Nine",
    "Operator^Olga",
    "4: CT JOHN DOE",
    "secret stuff",
)


def test_twenty_orders_of_the_source_give_the_same_voxels(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        source = series()
        rng.shuffle(source)
        result = export_dicom_seg(source, blobs(), affine_of(), SEGMENTS, tmp_path, verify=False)
        read = import_dicom_seg(result.path, SourceGrid(affine_of(), SHAPE))
        assert_same({number: read.mask(number) for number in (1, 2, 3)}, masks_of(blobs()))


def test_the_source_is_left_as_it_is(tmp_path: Path) -> None:
    folder = saved(series(), tmp_path / "ct", pixels=True)
    contents = {path: path.read_bytes() for path in folder.iterdir()}
    undecoded = [pydicom.dcmread(path) for path in sorted(contents)]
    for source in (undecoded, series()):
        before = [pickle.dumps(one) for one in source]
        export_dicom_seg(source, blobs(), affine_of(), SEGMENTS, tmp_path / "out")
        assert [pickle.dumps(one) for one in source] == before
    export_dicom_seg(folder, blobs(), affine_of(), SEGMENTS, tmp_path / "out")
    assert {path: path.read_bytes() for path in folder.iterdir()} == contents


def test_a_run_killed_while_it_writes_leaves_no_dicom_file(tmp_path: Path) -> None:
    code = """
import os, signal, sys
from pathlib import Path
from Testing.benchmarks.dicom_seg import KINDS, START
from Testing.engine.dicom_ground import *
from MedSAM2Lib.dicom import export_dicom_seg
os.fsync = lambda file: os.kill(os.getpid(), signal.SIGKILL)
export_dicom_seg(series(), blobs(), affine_of(), SEGMENTS, Path(sys.argv[1]))
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "out")], cwd=ROOT)
    assert done.returncode == -signal.SIGKILL
    names = [path.name for path in (tmp_path / "out").iterdir()]
    assert len(names) == 1
    assert names[0].endswith(".dcm.part")


def test_the_oldest_supported_highdicom_writes_the_same(tmp_path: Path) -> None:
    if not OLDEST.is_dir():
        pytest.skip(f"highdicom 0.27.0 is not in {OLDEST}: make setup puts it there")
    code = """
import sys
from pathlib import Path
import highdicom, numpy as np
from MedSAM2Lib.dicom import *
from Testing.benchmarks.dicom_seg import KINDS, START
from Testing.engine.dicom_ground import *
assert highdicom.__version__.startswith("0.27"), highdicom.__version__
out = Path(sys.argv[1])
for kind in ("BINARY", "LABELMAP"):
    export_dicom_seg(series(), blobs(), affine_of(), SEGMENTS, out, kind=kind, compression="deflate")
masks = {1: blobs() == 1, 2: np.roll(blobs() == 1, 3, 1)}
export_dicom_seg(series(), masks, affine_of(), SEGMENTS[:2], out)
export_dicom_seg([flat(SOPClassUID="1.2.840.10008.5.1.4.1.1.6.1", Modality="US")], blobs()[2:3], None, SEGMENTS, out)
for path in sorted(out.iterdir())[:1]:
    print([one.name for one in check_dicom_seg(path, series()) if one.passed is False])
"""
    environment = {"PYTHONPATH": f"{OLDEST}:{ROOT}", "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "ignore", "-c", code, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.glob("*.dcm"))) == 4
    for path in tmp_path.glob("*.dcm"):
        read = import_dicom_seg(path)
        assert read.segments
        assert str(pydicom.dcmread(path).PatientName) == "Müller^Jörg"


def polluted() -> list[Dataset]:
    """A series with places, people, comments and private elements at several depths, and marks of de-identification."""
    slices = series(
        InstitutionName="Ward Nine",
        InstitutionAddress="Street of Pain 1",
        StationName="SCANNER-7",
        OperatorsName="Operator^Olga",
        PatientComments="lives alone",
        AdditionalPatientHistory="lives alone",
        ImageComments="secret stuff",
        SeriesDescription="4: CT JOHN DOE",
        DeviceSerialNumber="SCANNER-7",
        ManufacturerModelName="Model",
        SoftwareVersions="1",
        PatientIdentityRemoved="YES",
        DeidentificationMethod="by hand",
        LongitudinalTemporalInformationModified="MODIFIED",
        TimezoneOffsetFromUTC="+0100",
        LossyImageCompression="01",
        LossyImageCompressionRatio=10,
        LossyImageCompressionMethod="ISO_15444_1",
        PatientAge="070Y",
        EthnicGroup="secret stuff",
        AdmissionID="secret stuff",
        ServiceEpisodeDescription="lives alone",
    )
    for one in slices:
        staff = Dataset()
        staff.PersonName, staff.InstitutionName = "Operator^Olga", "Ward Nine"
        for name in ("ReferringPhysician", "PhysiciansOfRecord", "PhysiciansReadingStudy", "ConsultingPhysician"):
            setattr(one, f"{name}IdentificationSequence", [staff])
        code = Dataset()
        code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "1", "99X", "Some procedure"
        code.private_block(0x0099, "MAKER", create=True).add_new(0x01, "LO", "secret stuff")
        one.ProcedureCodeSequence = [code]
        one.private_block(0x0011, "MAKER", create=True).add_new(0x01, "LO", "secret stuff")
    return slices


def dumped(path: Path) -> str:
    if shutil.which("dcmdump") is None:
        return str(pydicom.dcmread(path))
    return subprocess.run(["dcmdump", "+L", str(path)], capture_output=True, text=True, errors="replace").stdout


@pytest.mark.parametrize("masks", [blobs(), {1: blobs() == 1, 2: blobs() > 0}], ids=["apart", "overlapping"])
def test_nothing_of_a_polluted_source_is_passed_on_but_its_identity(masks: object, tmp_path: Path) -> None:
    segments: Sequence = SEGMENTS[: 2 if isinstance(masks, dict) else 3]
    result = export_dicom_seg(polluted(), masks, affine_of(), segments, tmp_path)
    text = dumped(result.path)
    assert "PatientIdentityRemoved" in text
    assert [one for one in PLANTED if one in text] == []
    dataset = pydicom.dcmread(result.path)
    assert (dataset.PatientIdentityRemoved, dataset.DeidentificationMethod) == ("YES", "by hand")
    assert (dataset.LossyImageCompression, float(dataset.LossyImageCompressionRatio)) == ("01", 10)
    assert (dataset.LongitudinalTemporalInformationModified, dataset.TimezoneOffsetFromUTC) == ("MODIFIED", "+0100")
    checks = {one.name[:2]: one for one in check_dicom_seg(result.path, polluted())}
    assert "private" not in checks["A4"].detail
    assert checks["A5"].passed and checks["A6"].passed


def test_a_file_can_be_dated_as_the_study(tmp_path: Path) -> None:
    result = export_dicom_seg(series(), blobs(), affine_of(), SEGMENTS, tmp_path, use_study_date=True)
    dataset = pydicom.dcmread(result.path)
    assert (dataset.ContentDate, dataset.ContentTime, dataset.SeriesDate) == ("20200304", "101112", "20200304")
    assert {dataset.get(name) for name in ("InstanceCreationDate", "StudyDate")} == {"20200304"}


def test_identity_is_that_of_the_source_and_the_series_is_new(tmp_path: Path) -> None:
    source = series()
    result = export_dicom_seg(source, blobs(), affine_of(), SEGMENTS, tmp_path)
    checks = {one.name[:2]: one.passed for one in check_dicom_seg(result.path, source)}
    assert (checks["A4"], checks["A5"]) == (True, True)
    other = series(PatientID="another", SeriesInstanceUID=result.series_instance_uid)
    detail = {one.name[:2]: one.detail for one in check_dicom_seg(result.path, other)}["A4"]
    for told in ("PatientID differs", "12 referenced images", "the series is that of the source"):
        assert told in detail


def test_progress_is_told_from_nothing_to_all(tmp_path: Path) -> None:
    told: list[tuple[float, str]] = []
    export_dicom_seg(series(), blobs(), affine_of(), SEGMENTS, tmp_path, progress=lambda *step: told.append(step))
    parts = [part for part, _ in told]
    assert parts == sorted(parts)
    assert (parts[0], parts[-1], len({text for _, text in told})) == (0.0, 1.0, len(told))


@pytest.mark.long
@pytest.mark.parametrize(("kind", "compression", "layers"), [*((*one, 1) for one in KINDS), ("BINARY", "none", 2)])
def test_ten_segments_of_six_hundred_slices_fit_into_one_and_a_half_gigabytes(
    kind: str, compression: str, layers: int, tmp_path: Path
) -> None:
    code = """
import sys
from MedSAM2Lib.dicom import *
from Testing.benchmarks.dicom_seg import ellipsoids, overlapping
from Testing.benchmarks.dicom_seg import KINDS, START
from Testing.engine.dicom_ground import *
shape, affine = (600, 512, 512), affine_of(spacing=(1.0, 0.7, 0.7))
labels = ellipsoids(600, 10) if sys.argv[4] == "1" else overlapping(ellipsoids(600, 10))
segments = [SegmentInfo(str(number)) for number in range(1, 11)]
source = series(affine, shape)
export_dicom_seg(source, labels, affine, segments, sys.argv[1], kind=sys.argv[2], compression=sys.argv[3])
"""
    start = [sys.executable, "-c", START, sys.executable, "-c", code, str(tmp_path), kind, compression, str(layers)]
    done = subprocess.run(start, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 1.5e9 / 1024
    assert len(list(tmp_path.glob("*.dcm"))) == 1
