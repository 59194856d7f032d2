"""Headers of a source brought onto its grid to the last digit, in copies.

Rounded headers deviate by micrometres. Some readers refuse a file that takes them over, and references to single images
get lost.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from MedSAM2Lib.dicom.grid import SourceGrid
from MedSAM2Lib.dicom.source_grid import macro, planes_of

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from MedSAM2Lib.dicom.source import SourceSeries

_DIGITS = 10


def snapped_source(source: SourceSeries, grid: SourceGrid | None) -> SourceSeries:
    """The source with the grid's positions and directions in its headers; what was given is left as it is."""
    if grid is None:
        return source
    first, *others = source.datasets
    # what is written comes from the first header; of the others only the place and the reference are used
    moved = replace(source, datasets=(deepcopy(first), *(_same_elements(one) for one in others)))
    if source.kind == "slices":
        frames, shared = list(moved.datasets), None
    else:
        frames, shared = (
            list(moved.first.PerFrameFunctionalGroupsSequence),
            moved.first.SharedFunctionalGroupsSequence[0],
        )
    inverse = np.linalg.inv(grid.affine_lps)
    for frame, plane in zip(frames, planes_of(moved)):
        index = round(float((inverse @ (*plane.position, 1))[0]))
        _move(frame, shared, grid, index)
    thickness, down, across = (float(length) for length in np.linalg.norm(grid.affine_lps[:3, :3], axis=0))
    for dataset in moved.datasets:
        if "SliceThickness" not in dataset:
            dataset.SliceThickness = thickness
        if source.kind == "slices" and not dataset.get("PixelSpacing"):
            dataset.PixelSpacing = [round(down, _DIGITS), round(across, _DIGITS)]
    return moved


def _same_elements(dataset: Dataset) -> Dataset:
    """A dataset of the same elements, so that replacing one leaves the other dataset as it is."""
    from pydicom.dataset import Dataset

    same = Dataset()
    same.update({element.tag: element for element in dataset})
    return same


def _move(frame: Dataset, shared: Dataset | None, grid: SourceGrid, index: int) -> None:
    steps = grid.affine_lps[:3, :3]
    rows, columns = (steps[:, axis] / np.linalg.norm(steps[:, axis]) for axis in (1, 2))
    position = (grid.affine_lps @ (index, 0, 0, 1))[:3]
    for group, name, values in (
        ("PlanePositionSequence", "ImagePositionPatient", position),
        ("PlaneOrientationSequence", "ImageOrientationPatient", (*columns, *rows)),
    ):
        place = frame if shared is None else macro(frame, shared, group)
        if name in place:
            delattr(place, name)
        setattr(place, name, [round(float(value), _DIGITS) for value in values])
