"""Whether the DICOM libraries are there, and new enough."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from MedSAM2Lib.dicom.refusals import SegExportError

_NEEDED = {"highdicom": (0, 27), "pydicom": (3, 0)}


def check_dependencies() -> None:
    """Raises SegExportError ``E_DEPENDENCY`` unless highdicom 0.27 and pydicom 3 or newer are installed."""
    for package, least in _NEEDED.items():
        found = _version(package)
        if found is None or tuple(int(part) for part in found.split(".")[:2]) < least:
            raise SegExportError(
                "E_DEPENDENCY",
                "DICOM-SEG needs {package} {least} or newer, and {found}: use 3D Slicer 5.12 or newer, or run "
                "pip install 'MedSAM2Slicer[dicom]'.",
                package=package,
                least=".".join(map(str, least)),
                found=f"{found} is installed" if found else "it is not installed",
            )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
