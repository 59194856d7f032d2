"""What the page "Export DICOM-SEG" does with what is chosen in the scene."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from MedSAM2Lib.dicom import check_dependencies
from MedSAM2Lib.errors import InputError
from MedSAM2SlicerLib.export.exporting import ExportJob, Written, keep_identities, prepare
from MedSAM2SlicerLib.export.hierarchy import put_under_study
from MedSAM2SlicerLib.export.lines import FixKey, Line
from MedSAM2SlicerLib.export.mending import mend
from MedSAM2SlicerLib.export.preflight import Subject, check_volume_exists, preflight
from MedSAM2SlicerLib.export.reading import FoundSegments, ReadingJob, ReadSegmentation, prepare_reading, put_into_scene
from MedSAM2SlicerLib.export.series import SeriesReader
from MedSAM2SlicerLib.scene.nodes import is_alive, require
from MedSAM2SlicerLib.scene.segments import LABELMAP, segment_ids


class Chosen(Protocol):
    """What the user has chosen to work on."""

    @property
    def volume(self) -> Any: ...

    @property
    def segmentation(self) -> Any: ...


class DicomSeg:
    """DICOM-SEG of the chosen volume and segmentation; main thread only.

    Args:
        chosen: asked for nodes at every call.
        settle: commits what is previewed, as ``SessionController.settle``; says whether nothing is pending any more.
        file_of_instance: gives the path of a DICOM instance by its UID, or an empty text.
    """

    def __init__(
        self,
        chosen: Callable[[], Chosen],
        settle: Callable[[str, bool], bool],
        file_of_instance: Callable[[str], str],
    ) -> None:
        self._chosen = chosen
        self._settle = settle
        self._reader = SeriesReader(file_of_instance)
        self._folders: dict[str, Path] = {}
        self._exported: tuple[Any, Any] = (None, None)
        self._read_onto: Any = None

    @property
    def state(self) -> object:
        """Equal as long as nothing has changed that a line depends on; None where nothing can be exported."""
        volume, segmentation = self._chosen().volume, self._chosen().segmentation
        if not is_alive(volume) or not is_alive(segmentation):
            return None
        return (volume.GetID(), segmentation.GetID(), _stamps(volume, segmentation), self._folders.get(volume.GetID()))

    @property
    def can_read(self) -> bool:
        """Whether there is a volume that a file could be read onto."""
        return is_alive(self._chosen().volume)

    def choose_folder(self, folder: Path | None) -> None:
        """The folder of the series that the chosen volume is of; None: as the volume says."""
        volume = require(self._chosen().volume, "volume")
        self._folders.pop(volume.GetID(), None)
        if folder is not None:
            self._folders[volume.GetID()] = folder

    def forget(self) -> None:
        """Headers are read again: files may have changed."""
        self._reader.forget()

    def reading(self) -> Callable[[], None] | None:
        """Reads the headers of the series, on any thread; None where that is done, or there is nothing to read."""
        subject = self._subject()
        try:
            check_volume_exists(subject)
            check_dependencies()
            files = self._reader.files(subject.volume, subject.folder)
        except InputError:
            return None
        return None if self._reader.has_read(files) else lambda: self._reader.load(files)

    def lines(self) -> tuple[Line, ...]:
        """The pre-flight list. Raises InputError."""
        return preflight(self._subject())

    def mend(self, fix: FixKey) -> Any:
        """What a line's button does; returns the segmentation to go on with. Raises InputError."""
        return mend(fix, self._subject())

    def settle(self) -> None:
        """Puts what is previewed into the segment. Raises InputError ``E_STILL_BUSY``."""
        settle_first(self._settle)

    def prepare(self) -> ExportJob:
        """Takes what is needed out of the scene. Raises as ``exporting.prepare``."""
        subject = self._subject()
        self._exported = (subject.volume, subject.segmentation)
        return prepare(subject)

    def keep(self, job: ExportJob, written: Written) -> None:
        """Remembers in the scene by which identities the segments were written."""
        segmentation = self._exported[1]
        if is_alive(segmentation):
            keep_identities(segmentation, job.segment_ids, written.segments)

    def put_under_study(self) -> bool:
        """Moves what was exported to the study of its volume, where that stands under one."""
        volume, segmentation = self._exported
        return is_alive(volume) and is_alive(segmentation) and put_under_study(segmentation, volume)

    def prepare_reading(self, path: Path) -> ReadingJob:
        """Reads a file onto the chosen volume's voxels, on any thread. Raises as ``reading.prepare_reading``."""
        self._read_onto = require(self._chosen().volume, "volume")
        return prepare_reading(path, self._read_onto)

    def put_into_scene(self, found: FoundSegments) -> ReadSegmentation:
        """What was read, as a new segmentation on that volume. Raises as ``reading.put_into_scene``."""
        return put_into_scene(found, require(self._read_onto, "volume"))

    def _subject(self) -> Subject:
        chosen = self._chosen()
        folder = self._folders.get(chosen.volume.GetID()) if is_alive(chosen.volume) else None
        return Subject(chosen.volume, chosen.segmentation, self._reader, folder)


def settle_first(settle: Callable[[str, bool], bool]) -> None:
    """Puts what is previewed into the segment before it is written. Raises InputError ``E_STILL_BUSY``."""
    if not settle("before the DICOM-SEG was written", True):
        raise InputError("E_STILL_BUSY", "The engine is still at work: press Esc, and try again when it has stopped.")


def _stamps(volume_node: Any, segmentation_node: Any) -> tuple[int, ...]:
    """Change with places, names, tags and voxels."""
    segmentation = segmentation_node.GetSegmentation()
    segments = [segmentation.GetSegment(each) for each in segment_ids(segmentation_node)]
    parents = [node.GetParentTransformNode() for node in (volume_node, segmentation_node)]
    images = [segment.GetRepresentation(LABELMAP) for segment in segments]
    changing = [volume_node, segmentation_node, segmentation, *segments, *parents, *images]
    return tuple(each.GetMTime() for each in changing if each is not None)
