"""Whether the slices of a series lie on one regular grid, and which.

A volume needs slices of one size and orientation, stacked along their normal at even distances (DICOM PS3.3, C.7.6.2).
What is not so is refused with its millimetres or degrees: a silent resampling would shift every voxel of a result.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from MedSAM2Lib.errors import VolumeError
from MedSAM2Lib.volume.io.dicom_files import DicomSlice

_RIGHT_ANGLE = 1e-3
_LEAST_DEGREES = 0.1
_LEAST_DRIFT_MM = 0.05
_SHIFT_PIXELS = 0.5
_SPACING_PART = 1e-3
_SAME_PLACE_MM = 0.01
_UNEVEN_PART = 0.05
_ROUNDED_MM = 0.11
_ROUNDED_PART = 0.25
_GAP_PART = 1.5

_CONVERT = (
    "load the series in 3D Slicer, which can regularise it (DICOM module, 'acquisition geometry'), and save it as NRRD"
)


def arrange(slices: Sequence[DicomSlice]) -> tuple[list[DicomSlice], NDArray[np.float64]]:
    """The slices in order along their normal, and the grid's ``ijk_to_world`` (LPS, mm).

    Raises VolumeError for colour, several frames in a file, mixed sizes or orientations, missing or repeated
    positions, a tilted gantry, gaps, and uneven distances.
    """
    _check_single_grey(slices)
    first = slices[0]
    if len(slices) == 1 and None in (first.position, first.orientation, first.spacing):
        return list(slices), _grid(first.spacing or (1.0, 1.0), np.zeros(3), np.eye(3), first.thickness)
    spacing = _pixel_spacing(slices)
    _check_one_size(slices, spacing)
    positions, axes = _positions(slices), _axes(slices)
    along = positions @ axes[2]
    order = np.argsort(along, kind="stable")
    ordered, positions, along = [slices[index] for index in order], positions[order], along[order]
    step = first.thickness
    if len(ordered) > 1:
        _check_duplicates(ordered, along)
        _check_stack(ordered, positions, axes, float(spacing.min()))
        _check_distances(ordered, along)
        step = float(along[-1] - along[0]) / (len(ordered) - 1)
    return ordered, _grid((float(spacing[0, 0]), float(spacing[0, 1])), positions[0], axes, step)


def _grid(
    pixel: tuple[float, float], origin: NDArray[np.float64], axes: NDArray[np.float64], step: float
) -> NDArray[np.float64]:
    matrix = np.eye(4)
    matrix[:3, :3] = axes.T * np.array([*pixel, step])
    matrix[:3, 3] = origin
    return matrix


def _check_single_grey(slices: Sequence[DicomSlice]) -> None:
    for one in slices:
        if one.components != 1:
            _refuse(
                "E_DICOM_COLOUR",
                "{name} is a colour image ({count} values a pixel): convert the series to grey values first, or choose "
                "another series.",
                name=one.name,
                count=one.components,
            )
        if one.frames > 1:
            _refuse(
                "E_DICOM_FRAMES",
                "{name} holds {frames} frames in one file: convert it to NRRD or NIfTI first, for example with 3D "
                "Slicer or dcm2niix.",
                name=one.name,
                frames=one.frames,
            )


def _check_one_size(slices: Sequence[DicomSlice], spacing: NDArray[np.float64]) -> None:
    first = slices[0]
    for one, pixel in zip(slices, spacing):
        if one.size != first.size:
            _refuse(
                "E_DICOM_SIZE",
                "The series mixes slices of {size} pixels ({name}) and {other_size} ({other}): keep the files of one "
                "size.",
                size=_times(first.size),
                name=first.name,
                other_size=_times(one.size),
                other=one.name,
            )
        if not np.allclose(pixel, spacing[0], rtol=_SPACING_PART, atol=0):
            _refuse(
                "E_DICOM_SPACING",
                "The series mixes pixels of {size} mm ({name}) and {other_size} mm ({other}): keep the files of one "
                "pixel spacing.",
                size=_times(spacing[0]),
                name=first.name,
                other_size=_times(pixel),
                other=one.name,
            )


def _pixel_spacing(slices: Sequence[DicomSlice]) -> NDArray[np.float64]:
    _check_present([one.spacing for one in slices], slices, "PixelSpacing")
    return np.array([one.spacing for one in slices])


def _positions(slices: Sequence[DicomSlice]) -> NDArray[np.float64]:
    _check_present([one.position for one in slices], slices, "ImagePositionPatient")
    return np.array([one.position for one in slices])


def _check_present(values: Sequence[object], slices: Sequence[DicomSlice], tag: str) -> None:
    for one, value in zip(slices, values):
        if value is None:
            _refuse(
                "E_DICOM_POSITION",
                "{name} does not say where it lies (no {tag}): export the series again, or convert it to NRRD with the "
                "spacing known to you.",
                name=one.name,
                tag=tag,
            )


def _axes(slices: Sequence[DicomSlice]) -> NDArray[np.float64]:
    """Unit vectors along i, j, k, one a row, of slices that all agree on them."""
    _check_present([one.orientation for one in slices], slices, "ImageOrientationPatient")
    orientations = np.array([one.orientation for one in slices])
    i, j = orientations[0, :3], orientations[0, 3:]
    normal = np.cross(i, j)
    if not (0.999 < np.linalg.norm(normal) < 1.001 and abs(float(i @ j)) < _RIGHT_ANGLE):
        _refuse(
            "E_DICOM_ORIENTATION",
            "The directions of rows and columns in {name} are not two unit vectors at right angles: export the series "
            "again, or " + _CONVERT + ".",
            name=slices[0].name,
        )
    normals = np.cross(orientations[:, :3], orientations[:, 3:])
    agreement = np.minimum(normals @ normal, orientations[:, :3] @ i)
    worst = int(np.argmin(agreement))
    degrees = _degrees(float(agreement[worst]))
    if degrees > _LEAST_DEGREES:
        _refuse(
            "E_DICOM_ORIENTATION",
            "The series mixes orientations: {other} is turned by {degrees:.1f} degrees against {name}. Keep the files "
            "of one orientation (scouts and reformations are often stored beside a scan).",
            other=slices[worst].name,
            degrees=degrees,
            name=slices[0].name,
        )
    # headers round directions: made exactly perpendicular, so that other formats take them
    i, k = i / np.linalg.norm(i), normal / np.linalg.norm(normal)
    return np.array([i, np.cross(k, i), k])


def _check_duplicates(slices: Sequence[DicomSlice], along: NDArray[np.float64]) -> None:
    same = np.flatnonzero(np.diff(along) < _SAME_PLACE_MM)
    if same.size:
        _refuse(
            "E_DICOM_DUPLICATE",
            "{count} slices of the series lie where another one does: {name} and {other} are both at {place:.2f} mm. "
            "It may hold several phases, echoes or repetitions: keep the files of one.",
            count=int(same.size),
            name=slices[same[0]].name,
            other=slices[same[0] + 1].name,
            place=float(along[same[0]]),
        )


def _check_stack(
    slices: Sequence[DicomSlice], positions: NDArray[np.float64], axes: NDArray[np.float64], pixel: float
) -> None:
    """Slices must lie over each other: neither sheared by a tilted gantry nor shifted one by one."""
    away = positions - positions[0]
    along, sideways = away @ axes[2], away @ axes[:2].T
    slope = sideways[-1] / along[-1]
    degrees, drift = float(np.degrees(np.arctan(np.linalg.norm(slope)))), float(np.linalg.norm(sideways[-1]))
    shifts = np.linalg.norm(sideways - along[:, None] * slope, axis=1)
    worst = int(np.argmax(shifts))
    if shifts[worst] > _SHIFT_PIXELS * pixel:
        _refuse(
            "E_DICOM_SHIFT",
            "{name} lies {shift:.2f} mm beside the other slices of its series: keep the files of one stack.",
            name=slices[worst].name,
            shift=float(shifts[worst]),
        )
    if degrees > _LEAST_DEGREES and drift > _LEAST_DRIFT_MM:
        _refuse(
            "E_DICOM_TILT",
            "The slices are sheared by {degrees:.2f} degrees (gantry tilt): from {name} to {other} they move "
            "{drift:.2f} mm sideways. Resample the series first: " + _CONVERT + ".",
            degrees=degrees,
            name=slices[0].name,
            other=slices[-1].name,
            drift=drift,
        )


def _check_distances(slices: Sequence[DicomSlice], along: NDArray[np.float64]) -> None:
    """Distances must be even but for the rounding of positions to a tenth of a millimetre."""
    steps = np.diff(along)
    usual = float(np.median(steps))
    worst = int(np.argmax(np.abs(steps - usual)))
    if steps[worst] > _GAP_PART * usual:
        missing = np.rint(steps / usual - 1).astype(int).clip(0)
        _refuse(
            "E_DICOM_GAP",
            "Slices are missing: {name} and {other} are {found:.2f} mm apart, the others {usual:.2f} mm (about {here} "
            "missing there, {total} in all). Copy the missing files, or give only the part on one side of the gap.",
            name=slices[worst].name,
            other=slices[worst + 1].name,
            found=float(steps[worst]),
            usual=usual,
            here=max(1, int(missing[worst])),
            total=max(1, int(missing.sum())),
        )
    allowed = max(_UNEVEN_PART * usual, min(_ROUNDED_MM, _ROUNDED_PART * usual))
    drift = float(np.abs(along - np.linspace(along[0], along[-1], len(along))).max())
    if abs(steps[worst] - usual) > allowed or drift > max(_ROUNDED_PART * usual, allowed):
        _refuse(
            "E_DICOM_UNEVEN",
            "The distances between slices are uneven, {least:.2f} to {most:.2f} mm ({found:.2f} mm between {name} and "
            "{other}): " + _CONVERT + ".",
            least=float(steps.min()),
            most=float(steps.max()),
            found=float(steps[worst]),
            name=slices[worst].name,
            other=slices[worst + 1].name,
        )


def _degrees(cosine: float) -> float:
    return float(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))))


def _times(values: Iterable[float]) -> str:
    return "x".join(f"{value:g}" for value in values)


def _refuse(code: str, template: str, **fields: object) -> NoReturn:
    raise VolumeError(code, template, **fields)
