"""Whether images lie on one regular grid, and which.

A reader of DICOM-SEG needs parallel frames at even distances (DICOM PS3.3, C.7.6.16.2.3 and C.8.20). Of a source
that is not so, two readers make two different masks without a word, so it is refused. Deviations under a hundredth of a
voxel, which rounded headers have, make no difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from MedSAM2Lib.dicom.grid import SNAP_VOXELS, SourceGrid
from MedSAM2Lib.dicom.refusals import SegExportError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from MedSAM2Lib.dicom.source import SourceSeries

_PARALLEL = 1e-4
_TILT_DEGREES = 0.1
_SAME_PLACE_MM = 0.01

Planes = list["Plane"]


class Plane:
    """Where one image or frame lies: ``position`` (3,), ``axes`` (2, 3), ``spacing`` between rows and columns, mm."""

    def __init__(self, position: Sequence[float], orientation: Sequence[float], spacing: Sequence[float]) -> None:
        self.position = np.array([float(value) for value in position])
        self.axes = np.array([float(value) for value in orientation]).reshape(2, 3)
        self.spacing = np.array([float(value) for value in spacing])


def grid_of(source: SourceSeries) -> SourceGrid | None:
    """See ``check_source``."""
    _check_frames(source)
    if source.kind == "planar":
        return None
    planes = planes_of(source)
    _check_alike(source, planes)
    normal, along = _stack(planes)
    order = np.argsort(along, kind="stable")
    step = _step(source, along[order])
    _check_tilt(planes, order, normal)
    ordered = [planes[index] for index in order]
    affine = _affine(ordered[0], normal, step)
    if _farthest(ordered, affine) > SNAP_VOXELS:
        # directions are rounded in headers: the way from the first to the last image is the surer normal
        way = ordered[-1].position - ordered[0].position
        affine = _affine(ordered[0], way / np.linalg.norm(way), step)
        _check_even(ordered, affine)
    return SourceGrid(affine, (len(planes), *source.shape))


def planes_of(source: SourceSeries) -> Planes:
    """The plane of each image or frame, in the order of the source."""
    if source.kind == "slices":
        return [Plane(one.ImagePositionPatient, one.ImageOrientationPatient, _spacing(one)) for one in source.datasets]
    shared = source.first.SharedFunctionalGroupsSequence[0]
    return [
        Plane(
            macro(frame, shared, "PlanePositionSequence").ImagePositionPatient,
            macro(frame, shared, "PlaneOrientationSequence").ImageOrientationPatient,
            macro(frame, shared, "PixelMeasuresSequence").PixelSpacing,
        )
        for frame in source.first.PerFrameFunctionalGroupsSequence
    ]


def macro(frame: Dataset, shared: Dataset, name: str) -> Dataset:
    """An item of a functional group, from the frame itself or from what all frames share."""
    return (frame if name in frame else shared)[name].value[0]


def _spacing(dataset: Dataset) -> Sequence[float]:
    spacing: Sequence[float] | None = dataset.get("PixelSpacing") or dataset.get("ImagerPixelSpacing")
    if spacing is None:
        raise SegExportError(
            "E_SOURCE_HEADER",
            "The source images do not say how large their pixels are (PixelSpacing): use the original images.",
        )
    return spacing


def _check_frames(source: SourceSeries) -> None:
    first = source.first
    if source.kind == "planar" and len(source.datasets) > 1:
        raise SegExportError(
            "E_NO_FOR",
            "The {count} source images have no frame of reference, position and orientation, so it is unknown how they "
            "lie to each other: export a mask for each image on its own.",
            count=len(source.datasets),
        )
    if source.kind != "multi-frame":
        return
    if not first.get("FrameOfReferenceUID") or "PerFrameFunctionalGroupsSequence" not in first:
        raise SegExportError(
            "E_2D_MULTIFRAME",
            "The source has {count} frames without a place in the patient, such as a film of ultrasound or X-ray: a "
            "DICOM-SEG can be drawn on a single frame only; extract one first.",
            count=first.get("NumberOfFrames"),
        )
    if len(source.datasets) > 1:
        raise SegExportError(
            "E_MIXED_SERIES",
            "The source holds {count} files of many frames each: give one of them.",
            count=len(source.datasets),
        )


def _check_alike(source: SourceSeries, planes: Planes) -> None:
    first = planes[0]
    sizes = {(int(one.Rows), int(one.Columns)) for one in source.datasets}
    turned = sum(bool(np.abs(one.axes - first.axes).max() > _PARALLEL * 10) for one in planes)
    scaled = sum(not np.allclose(one.spacing, first.spacing, rtol=_PARALLEL * 10) for one in planes)
    if len(sizes) > 1 or turned or scaled:
        raise SegExportError(
            "E_MIXED_ORIENTATION",
            "The source mixes images of different orientation, size or pixel spacing ({turned} of {count} are turned, "
            "{scaled} have other pixels, {sizes} sizes): leave out scouts and the like.",
            turned=turned,
            scaled=scaled,
            sizes=len(sizes),
            count=len(planes),
        )


def _stack(planes: Planes) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The normal of the planes, and how far each lies along it."""
    normal = np.cross(planes[0].axes[0], planes[0].axes[1])
    normal /= np.linalg.norm(normal)
    return normal, np.array([one.position @ normal for one in planes])


def _step(source: SourceSeries, along: NDArray[np.float64]) -> float:
    if len(along) == 1:
        first = source.first
        return abs(float(first.get("SpacingBetweenSlices") or first.get("SliceThickness") or 1.0)) or 1.0
    steps = np.diff(along)
    same = int(np.count_nonzero(steps < _SAME_PLACE_MM))
    if same:
        raise SegExportError(
            "E_DUPLICATE_POSITION",
            "{count} of the source images lie where another one does: the series holds several phases, echoes or time "
            "points; give the images of one.",
            count=same,
        )
    usual, step = float(np.median(steps)), float(along[-1] - along[0]) / (len(along) - 1)
    even = np.linspace(along[0], along[-1], len(along))
    if np.abs(along - even).max() > SNAP_VOXELS * step:
        missing = int(np.rint(steps / usual - 1).clip(0).sum())
        raise SegExportError(
            "E_NONUNIFORM",
            "The distances between source images are uneven, {least:.3f} to {most:.3f} mm{missing}: readers would put "
            "the mask at wrong places; give the complete series, or resample it first.",
            least=float(steps.min()),
            most=float(steps.max()),
            missing=f" (about {missing} missing)" if missing else "",
        )
    return step


def _check_tilt(planes: Planes, order: NDArray[np.intp], normal: NDArray[np.float64]) -> None:
    if len(planes) == 1:
        return
    way = planes[order[-1]].position - planes[order[0]].position
    degrees = float(np.degrees(np.arccos(np.clip(abs(way @ normal) / np.linalg.norm(way), 0, 1))))
    if degrees > _TILT_DEGREES:
        raise SegExportError(
            "E_TILT",
            "The source images are sheared by {degrees:.2f} degrees (gantry tilt), and readers would put the mask at "
            "wrong places: resample the series to upright slices first.",
            degrees=degrees,
        )


def _affine(first: Plane, normal: NDArray[np.float64], step: float) -> NDArray[np.float64]:
    """Index (k, j, i) to LPS with exactly perpendicular axes, slices along ``normal``."""
    columns = first.axes[0] - normal * (first.axes[0] @ normal)
    columns /= np.linalg.norm(columns)
    rows = np.cross(normal, columns)
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1], affine[:3, 2] = normal * step, rows * first.spacing[0], columns * first.spacing[1]
    affine[:3, 3] = first.position
    return affine


def _farthest(ordered: Planes, affine: NDArray[np.float64]) -> float:
    """How many voxels an image lies beside its place in an even stack, at most."""
    inverse = np.linalg.inv(affine)
    places = [(inverse @ (*plane.position, 1))[:3] - (k, 0, 0) for k, plane in enumerate(ordered)]
    return float(np.abs(places).max())


def _check_even(ordered: Planes, affine: NDArray[np.float64]) -> None:
    """Each image where the grid says, to a hundredth of a voxel."""
    farthest = _farthest(ordered, affine)
    if farthest <= SNAP_VOXELS:
        return
    steps = [float(np.linalg.norm(b.position - a.position)) for a, b in pairwise(ordered)]
    raise SegExportError(
        "E_NONUNIFORM",
        "An image of the source lies {voxels:.2f} voxels beside its place in an even stack (distances {least:.3f} to "
        "{most:.3f} mm): give the images of one complete stack, or resample the series first.",
        voxels=farthest,
        least=min(steps),
        most=max(steps),
    )
