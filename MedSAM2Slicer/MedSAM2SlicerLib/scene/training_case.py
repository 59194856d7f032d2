"""A corrected volume as a case to train on: image, segments and provenance in a folder of its own."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from slicer import vtkMRMLVolumeArchetypeStorageNode

from MedSAM2Lib.errors import InputError, OutputError
from MedSAM2Lib.volume.io import write_mask
from MedSAM2Lib.volume.volume import Volume
from MedSAM2SlicerLib.scene.geometry import RAS_TO_LPS, check_volume, ijk_to_local_matrix, volume_array
from MedSAM2SlicerLib.scene.grids import check_segmentation
from MedSAM2SlicerLib.scene.segments import segment_ids, segment_mask, segment_name

IMAGE_NAME, MASK_NAME, PROVENANCE_NAME = "image.nrrd", "mask.seg.nrrd", "provenance.json"


def save_training_case(
    folder: str | Path,
    volume_node: Any,
    segmentation_node: Any,
    window: tuple[float, float] | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> Path:
    """Writes a case for ``medsam2 train`` and returns its folder, which appears whole or not at all.

    Args:
        folder: of cases; the case gets the volume's name there, with a number where that is taken.
        volume_node: the image; written in its own coordinates, parent transforms left out.
        segmentation_node: every segment that has voxels becomes an object.
        window: (low, high) that the user saw.
        provenance: what else to tell, as JSON.

    Raises InputError ``E_CASE_EMPTY`` where no segment has a voxel, those of ``check_volume`` and
    ``check_segmentation``, and OutputError where writing fails.
    """
    check_volume(volume_node)
    check_segmentation(segmentation_node, volume_node)
    objects = [(each, segment_mask(segmentation_node, each, volume_node)) for each in segment_ids(segmentation_node)]
    objects = [(each, mask) for each, mask in objects if mask.any()]
    if not objects:
        raise InputError(
            "E_CASE_EMPTY",
            "No segment of {name} has a voxel: segment something before saving it as a training case.",
            name=segmentation_node.GetName(),
        )
    folder = Path(folder)
    partial = folder / f".partial-{_file_name(volume_node.GetName())}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        _write_image(partial / IMAGE_NAME, volume_node)
        grid = Volume(volume_array(volume_node), RAS_TO_LPS @ ijk_to_local_matrix(volume_node), volume_node.GetName())
        names = [segment_name(segmentation_node, each) for each, _ in objects]
        write_mask(partial / MASK_NAME, [mask for _, mask in objects], grid, names)
        told = {**(provenance or {}), **({"window": list(window)} if window else {})}
        (partial / PROVENANCE_NAME).write_text(json.dumps(told, indent=1), encoding="utf-8")
        return _take_free_name(partial, folder, _file_name(volume_node.GetName()))
    except OSError as error:
        raise OutputError(
            "E_OUT_WRITE",
            "The case could not be written to {folder} ({reason}): check the free space and your permissions there, or "
            "choose another folder.",
            folder=folder,
            reason=error.strerror or error,
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write_image(path: Path, volume_node: Any) -> None:
    storage = vtkMRMLVolumeArchetypeStorageNode()
    storage.SetFileName(str(path))
    storage.SetUseCompression(True)
    if not storage.WriteData(volume_node):
        raise OSError(f"{path.name} was not written")


def _take_free_name(partial: Path, folder: Path, name: str) -> Path:
    number = 1
    while True:
        case = folder / (name if number == 1 else f"{name}-{number}")
        if not case.exists():
            return partial.rename(case)
        number += 1


def _file_name(name: str | None) -> str:
    return re.sub(r"[^\w.-]+", "_", name or "").strip("._") or "case"
