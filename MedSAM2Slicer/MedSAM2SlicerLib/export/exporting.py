"""Writing a segmentation as DICOM-SEG: arrays are taken from the scene first, the rest may run on any thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MedSAM2Lib.dicom import (
    ExportResult,
    SegExportError,
    SegmentInfo,
    SegWarning,
    SourceGrid,
    SourceSeries,
    export_dicom_seg,
    import_dicom_seg,
)
from MedSAM2Lib.dicom.label_layers import marked, packed
from MedSAM2Lib.dicom.segment_info import own_identities
from MedSAM2SlicerLib.export.described import counted_segments, segment_info
from MedSAM2SlicerLib.export.lines import listed, ready
from MedSAM2SlicerLib.export.preflight import Subject, preflight
from MedSAM2SlicerLib.scene.geometry import volume_shape
from MedSAM2SlicerLib.scene.segment_tags import TRACKING_ID, TRACKING_UID, set_tag
from MedSAM2SlicerLib.scene.segments import segment_mask

Progress = Callable[[float, str], None]
"""Gets a part of 1, and what is going on."""


@dataclass(frozen=True, eq=False)
class Written:
    """A file that was read back and compared: its segments as they are in it, its size and its study."""

    path: Path
    size: int
    study: str
    segments: tuple[SegmentInfo, ...]
    warnings: tuple[SegWarning, ...]


@dataclass(frozen=True, eq=False)
class ExportJob:
    """All that a file is made of, without a node.

    ``layers`` are label maps ``[k, j, i]`` whose numbers 1 and on are the segments in their order, as few as their
    overlaps allow; ``segment_ids`` are the segments of those numbers in the scene.
    """

    series: SourceSeries
    layers: tuple[NDArray, ...]
    grid: SourceGrid
    segments: tuple[SegmentInfo, ...]
    segment_ids: tuple[str, ...]
    study: str

    def run(self, folder: Path, compact: bool = False, progress: Progress | None = None) -> Written:
        """Writes one new file into a folder, which is made, reads it and compares every voxel.

        ``compact``: as small as can be, for newer readers. ``progress`` is called on this thread.

        Raises SegExportError as ``export_dicom_seg`` does, and ``E_READ_BACK`` where what is read is something else; no
        file is left then.
        """
        result = export_dicom_seg(
            self.series,
            self.layers,
            self.grid.affine_lps,
            self.segments,
            folder,
            compact=compact,
            progress=progress,
        )
        try:
            self._compare(result)
        except SegExportError:
            result.path.unlink(missing_ok=True)
            raise
        return Written(result.path, result.path.stat().st_size, self.study, result.segments, result.warnings)

    def _compare(self, result: ExportResult) -> None:
        """Raises SegExportError ``E_READ_BACK`` unless the file holds this job's voxels, each segment on its own."""
        read = import_dicom_seg(result.path, self.grid)
        different = [
            wanted.label
            for number, (wanted, found) in enumerate(zip(result.segments, read.segments), start=1)
            if not _same_but_color(found, wanted) or not np.array_equal(marked(self.layers, number), read.mask(number))
        ]
        if different or len(read.segments) != len(self.segments):
            raise SegExportError(
                "E_READ_BACK",
                "The file does not hold what was written ({names} differ), so it was removed: report this, please.",
                names=listed(different) or "the segments",
            )


def prepare(subject: Subject) -> ExportJob:
    """Takes all that is needed out of the scene; segments without voxels are left out.

    Raises the error of the first line of ``preflight`` that fails.
    """
    lines = preflight(subject)
    if not ready(lines):
        first = next(line for line in lines if line.state == "fails")
        raise SegExportError(first.code, first.template, **first.fields)
    series, _ = subject.reader.read(subject.reader.files(subject.volume, subject.folder))
    full = [each for each in counted_segments(subject.segmentation, subject.volume) if each.voxels]
    masks = (
        (number, segment_mask(subject.segmentation, each.segment_id, subject.volume))
        for number, each in enumerate(full, start=1)
    )
    return ExportJob(
        series=series,
        layers=tuple(packed(masks, np.uint8 if len(full) < 256 else np.uint16)),
        grid=SourceGrid(subject.affine_lps, volume_shape(subject.volume)),
        segments=tuple(
            own_identities([segment_info(each.segment, number) for number, each in enumerate(full, start=1)])
        ),
        segment_ids=tuple(each.segment_id for each in full),
        study=_study(series.first),
    )


def keep_identities(segmentation_node: Any, segment_ids: Sequence[str], segments: Sequence[SegmentInfo]) -> None:
    """Tracking IDs and UIDs of written segments become tags, so that the next export has the same."""
    segmentation = segmentation_node.GetSegmentation()
    for segment_id, info in zip(segment_ids, segments):
        segment = segmentation.GetSegment(segment_id)
        if segment is not None:
            set_tag(segment, TRACKING_ID, info.tracking_id or "")
            set_tag(segment, TRACKING_UID, info.tracking_uid or "")


def _same_but_color(one: SegmentInfo, other: SegmentInfo) -> bool:
    """Colours are kept as CIELab, which rounds them."""
    return replace(one, rgb=None) == replace(other, rgb=None)


def _study(header: Any) -> str:
    """How people know a study: its description and date, else its ID, else its UID."""
    words = [str(header.get(name) or "").strip() for name in ("StudyDescription", "StudyDate", "StudyID")]
    return " ".join(filter(None, words[:2])) or words[2] or str(header.StudyInstanceUID)
