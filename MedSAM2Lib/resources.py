"""Where the files that ship with the engine lie: the model catalogue, the embedded checkpoint, the terminology."""

from __future__ import annotations

from pathlib import Path

from MedSAM2Lib.errors import ModelError

MARKER = "models.json"
"""A folder called Resources is ours only if it holds this file: every Slicer module has a Resources folder."""

_PARENTS_TRIED = 4


def resources_dir(package_folder: Path | None = None) -> Path:
    """The engine's Resources folder, in whichever of the three layouts the package lies.

    In a wheel it is inside the package, in a clone beside it, and in Slicer's install tree beside one of the
    folders above it, possibly one level deeper in a folder of this extension's name.

    Args:
        package_folder: the folder of the package ``MedSAM2Lib``; that of this file by default.

    Raises:
        ModelError: ``E_RESOURCES_MISSING``, naming the places that were tried.
    """
    package_folder = package_folder or Path(__file__).resolve().parent
    above = [package_folder, *package_folder.parents[:_PARENTS_TRIED]]
    places = [place for folder in above for place in (folder / "Resources", folder / "Resources" / "MedSAM2Slicer")]
    for place in places:
        if (place / MARKER).is_file():
            return place
    raise ModelError(
        "E_RESOURCES_MISSING",
        "The Resources folder with {marker} was not found; install MedSAM2Slicer again. Looked in: {places}.",
        marker=MARKER,
        places=", ".join(str(place) for place in places),
    )
