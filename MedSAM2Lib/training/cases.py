"""A user's own volumes and masks as training cases.

A folder of cases holds one folder each: ``image.nrrd``, ``mask.seg.nrrd`` (every segment is an object) and, if there is
one, ``provenance.json``, whose ``window`` ([low, high]) is what the user saw, and whose ``modality`` is DICOM's.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from MedSAM2Lib.errors import InputError, MedSAM2Error
from MedSAM2Lib.types import AXES, Axis, BoolArray, array_dimension
from MedSAM2Lib.volume.intensity import Window, automatic_window
from MedSAM2Lib.volume.io import MASK_SUFFIXES, read_objects, read_volume
from MedSAM2Lib.volume.volume import Volume, check_contrast, replace_non_finite

IMAGE_NAME, MASK_NAME, PROVENANCE_NAME = "image.nrrd", "mask.seg.nrrd", "provenance.json"
LARGEST_VALIDATION_SHARE = 0.5

_SHOWN = 5


@dataclass(frozen=True)
class CaseFiles:
    """Where one case lies; ``provenance`` need not be there."""

    name: str
    image: Path
    masks: Path
    provenance: Path | None = None


@dataclass(frozen=True, eq=False)
class CaseObject:
    """One object: its name, the box of voxels [k, j, i] that holds it, and its mask in that box."""

    name: str
    box: tuple[slice, slice, slice]
    mask: BoolArray
    shape: tuple[int, int, int]

    @staticmethod
    def of(name: str, mask: BoolArray) -> CaseObject:
        """From a mask [k, j, i] that is not empty."""
        (box,) = ndimage.find_objects(mask.astype(np.uint8))
        return CaseObject(name, box, mask[box].copy(), mask.shape)  # type: ignore[arg-type]

    def areas(self, axis: Axis) -> NDArray[np.int64]:
        """Voxels of the object on every slice along an axis."""
        dimension = array_dimension(axis)
        areas = np.zeros(self.shape[dimension], dtype=np.int64)
        areas[self.box[dimension]] = self.mask.sum(axis=tuple(other for other in range(3) if other != dimension))
        return areas

    def section(self, axis: Axis, index: int) -> BoolArray:
        """The object on one slice, [rows, columns]."""
        dimension = array_dimension(axis)
        in_plane = [other for other in range(3) if other != dimension]
        section = np.zeros([self.shape[other] for other in in_plane], dtype=bool)
        inside = index - self.box[dimension].start
        if 0 <= inside < self.mask.shape[dimension]:
            section[tuple(self.box[other] for other in in_plane)] = self.mask.take(inside, axis=dimension)
        return section


@dataclass(frozen=True, eq=False)
class TrainingCase:
    """A volume with its objects, and the window that it is seen through."""

    name: str
    volume: Volume
    window: Window
    objects: tuple[CaseObject, ...]

    @property
    def bytes(self) -> int:
        """Memory that it takes."""
        return self.volume.array.nbytes + sum(each.mask.nbytes for each in self.objects)


def find_cases(folder: Path) -> list[CaseFiles]:
    """The cases of a folder of cases, in the order of their names; none where no sub-folder holds an image or a mask.

    Raises InputError ``E_CASES``, naming each case that lacks its image or its mask, and beside such cases each
    sub-folder with volumes of other names.
    """
    found = []
    problems = []
    others = []
    for place in sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")):
        missing = [name for name in (IMAGE_NAME, MASK_NAME) if not (place / name).is_file()]
        if len(missing) == 2:
            if any(path.name.lower().endswith(MASK_SUFFIXES) for path in place.iterdir()):
                others.append(f"{place.name} has neither {IMAGE_NAME} nor {MASK_NAME}, but other volumes")
            continue
        if missing:
            problems.append(f"{place.name} has no {missing[0]}")
        provenance = place / PROVENANCE_NAME
        found.append(
            CaseFiles(place.name, place / IMAGE_NAME, place / MASK_NAME, provenance if provenance.exists() else None)
        )
    _raise(folder, [*problems, *others] if found else [])
    return found


def read_cases(
    folder: Path, files: Sequence[CaseFiles], report: Callable[[TrainingCase], None] | None = None
) -> list[TrainingCase]:
    """Reads all cases; raises InputError ``E_CASES``, naming each that is empty, broken, or of two different sizes."""
    cases, problems = [], []
    for each in files:
        try:
            cases.append(read_case(each))
        except MedSAM2Error as error:
            problems.append(f"{each.name}: {error}")
            continue
        if report is not None:
            report(cases[-1])
    _raise(folder, problems)
    return cases


def read_case(files: CaseFiles) -> TrainingCase:
    """Reads one case; raises VolumeError, PromptError or InputError."""
    volume = read_volume(files.image)
    volume, _ = replace_non_finite(replace(volume, array=_small(volume.array)))
    check_contrast(volume)
    window = _window(files.provenance, volume)
    objects = tuple(CaseObject.of(each.name, each.mask) for each in read_objects(files.masks, volume))
    return TrainingCase(files.name, volume, window, objects)


def split_cases(
    cases: Sequence[TrainingCase], share: float, seed: int
) -> tuple[list[TrainingCase], list[TrainingCase]]:
    """Cases to train on and cases held out: ``share`` of them, at least one of two or more, none for a share of 0."""
    count = min(max(1, round(share * len(cases))), len(cases) - 1) if share > 0 else 0
    order = np.random.default_rng((seed, 31)).permutation(len(cases))
    held_out = set(order[:count].tolist())
    return (
        [case for number, case in enumerate(cases) if number not in held_out],
        [case for number, case in enumerate(cases) if number in held_out],
    )


def fingerprint(files: Iterable[CaseFiles]) -> str:
    """Twelve digits that change with the cases' names and the sizes of their files."""
    told = [(each.name, *(path.stat().st_size for path in (each.image, each.masks))) for each in files]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:12]


def usable_axes(each: CaseObject) -> list[Axis]:
    """Axes along which an object can be looked at: its slices are not a line of voxels."""
    return [axis for axis in AXES if min(_in_plane(each.shape, axis)) > 1]


def _in_plane(shape: tuple[int, int, int], axis: Axis) -> list[int]:
    return [size for dimension, size in enumerate(shape) if dimension != array_dimension(axis)]


def _small(array: NDArray) -> NDArray:
    """Voxels in two or four bytes where nothing is lost that a window could show."""
    if array.dtype.kind in "iu" and array.dtype.itemsize > 2 and array.min() >= -32768 and array.max() <= 32767:
        return array.astype(np.int16)
    return array.astype(np.float32) if array.dtype == np.float64 else array


def _window(provenance: Path | None, volume: Volume) -> Window:
    """The window that the provenance tells, or an automatic one."""
    if provenance is None:
        return automatic_window(volume)
    try:
        told = json.loads(provenance.read_text(encoding="utf-8"))
        window, modality = told.get("window"), told.get("modality")
        if window is not None:
            low, high = (float(number) for number in window)
            return Window(low, high)
    except (OSError, UnicodeDecodeError, ValueError, TypeError, AttributeError) as error:
        raise InputError(
            "E_PROVENANCE",
            '{file} does not tell a window as {{"window": [low, high]}} ({reason})',
            file=provenance,
            reason=error,
        ) from error
    return automatic_window(volume, modality if isinstance(modality, str) else None)


def _raise(folder: Path, problems: Sequence[str]) -> None:
    if problems:
        shown = "; ".join(problem.rstrip(".") for problem in problems)
        count = "1 case" if len(problems) == 1 else f"{len(problems)} cases"
        raise InputError(
            "E_CASES",
            "{folder} has {count} that cannot be trained on: {problems}. Correct them, or take them away.",
            folder=folder,
            count=count,
            problems=shown,
        )
