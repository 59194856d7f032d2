"""`medsam2 segment --dicom-seg`: the mask as a DICOM-SEG beside the series that was segmented."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from MedSAM2Lib.commands.dicom_seg_job import tell
from MedSAM2Lib.commands.dicom_seg_tags import described_by_name
from MedSAM2Lib.commands.segmentation import Segmentation, SegmentSettings
from MedSAM2Lib.dicom import (
    AlgorithmInfo,
    SegExportError,
    SegmentInfo,
    affine_lps_from,
    check_dependencies,
    check_segments,
    check_source,
    export_dicom_seg,
    read_segment_file,
    read_source,
)
from MedSAM2Lib.dicom.files import check_target
from MedSAM2Lib.dicom.source import SourceSeries
from MedSAM2Lib.volume.io.dicom_files import choose_series, list_dicom_series, read_header
from MedSAM2Lib.volume.io.masks import SEGMENTATION_SUFFIX


@dataclass(frozen=True, eq=False)
class DicomSegTarget:
    """Where a DICOM-SEG goes, the images it belongs to, and what the objects mean, all checked."""

    folder: Path
    source: SourceSeries
    segments: tuple[SegmentInfo, ...]


def dicom_seg_target(settings: SegmentSettings, names: Sequence[str]) -> DicomSegTarget | None:
    """Checks before any work whether a DICOM-SEG of these objects can be written; None where none is wanted.

    Raises SegExportError.
    """
    if settings.dicom_seg is None:
        return None
    assert settings.volume is not None
    check_dependencies()
    check_target(settings.dicom_seg)
    segments = described(names, settings.segments)
    check_segments(segments, AlgorithmInfo())
    source = _source(settings.volume, settings.series)
    if check_source(source) is None:
        raise SegExportError(
            "E_NO_FOR",
            "{path} has no place in the patient: segment it with medsam2 imageset, and write the mask with medsam2 "
            "dicom-seg export.",
            path=settings.volume,
        )
    return DicomSegTarget(settings.dicom_seg, source, tuple(segments))


def write_dicom_seg(done: Segmentation, target: DicomSegTarget) -> None:
    """Writes the objects of a finished run and says where. Raises SegExportError."""
    affine = affine_lps_from(done.volume.ijk_to_world)
    tell(export_dicom_seg(target.source, done.labels, affine, target.segments, target.folder))


def how_to_export(settings: SegmentSettings, target: DicomSegTarget) -> str:
    """The command that writes the mask of a run cut short, which nobody should take for a whole one unseen."""
    words: list[object] = [
        "medsam2",
        "dicom-seg",
        "export",
        settings.out,
        "--source",
        settings.volume,
        "--out",
        target.folder,
    ]
    if settings.series is not None:
        words += ["--series", target.source.first.SeriesInstanceUID]
    if settings.segments is not None:
        words += ["--segments", settings.segments]
    command = " ".join(shlex.quote(str(word)) for word in words)
    if settings.segments is None and not settings.out.name.lower().endswith(SEGMENTATION_SUFFIX):
        command += " --segments FILE.json"
    return f"no DICOM-SEG was written of the interrupted run; to write one of what was kept: {command}"


def described(names: Sequence[str], file: Path | None) -> list[SegmentInfo]:
    """Objects 1, 2, ... as the file of segments describes those numbers; the others by their names."""
    written = {} if file is None else {one.number: one for one in read_segment_file(file)}
    strange = sorted(set(written) - set(range(1, len(names) + 1)), key=str)
    if strange:
        raise SegExportError(
            "E_UNDESCRIBED_LABEL",
            "{file} describes the number {number}, and the numbers of objects go to {count}: number them from 1 in "
            "their order on the command line.",
            file=file,
            number=strange[0],
            count=len(names),
        )
    return [written.get(number) or described_by_name(name, number) for number, name in enumerate(names, start=1)]


def _source(volume: Path, series: str | None) -> SourceSeries:
    """The headers of the series that ``read_volume`` reads."""
    if volume.is_dir():
        slices = choose_series(list_dicom_series(volume), series, volume).slices
        return read_source([one.path for one in slices])
    header = read_header(volume) if volume.is_file() else None
    if header is None:
        raise SegExportError(
            "E_NO_SOURCE",
            "{path} is no DICOM series, and a DICOM-SEG belongs to one: give its folder, or leave --dicom-seg out.",
            path=volume,
        )
    return read_source(volume.parent, header.series_uid)
