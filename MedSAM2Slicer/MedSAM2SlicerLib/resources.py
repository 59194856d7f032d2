"""Where the module's own files lie: its .ui files, icons, requirements, and the module file itself."""

from __future__ import annotations

from pathlib import Path

from MedSAM2Lib.errors import InputError

MODULE_FILE = "MedSAM2Slicer.py"
WHEEL_FOLDER = "MedSAM2SlicerModule"
"""In a wheel the module file and its resources lie in a package of this name, beside MedSAM2SlicerLib."""


def module_file(package_folder: Path | None = None) -> Path:
    """The module file that Slicer loads, in whichever of the three layouts this package lies.

    In a clone and in Slicer's install tree it lies beside this package, in a wheel in a folder beside it.

    Args:
        package_folder: the folder of the package ``MedSAM2SlicerLib``; that of this file by default.

    Raises:
        InputError: ``E_MODULE_FILES_MISSING``, naming the places that were tried.
    """
    beside = (package_folder or Path(__file__).resolve().parent).parent
    places = [beside / MODULE_FILE, beside / WHEEL_FOLDER / MODULE_FILE]
    for place in places:
        if place.is_file():
            return place
    raise InputError(
        "E_MODULE_FILES_MISSING",
        "The module file {name} was not found; install MedSAM2Slicer again. Looked in: {places}.",
        name=MODULE_FILE,
        places=", ".join(str(place.parent) for place in places),
    )


def resources_dir(package_folder: Path | None = None) -> Path:
    """The module's Resources folder, with ``UI``, ``Icons`` and ``requirements.txt``: beside the module file.

    Raises:
        InputError: as ``module_file`` raises.
    """
    return module_file(package_folder).parent / "Resources"
