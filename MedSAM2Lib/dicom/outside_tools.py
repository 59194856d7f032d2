"""Programs of others that judge or read a DICOM-SEG, where they are installed: dicom3tools, DCMTK, dcmqi."""

from __future__ import annotations

import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

_AGE_OF_VALIDATOR = (
    "Information Object Not found",
    "SegmentNumber not monotonically increasing from one by one",
)
"""What dicom3tools before it knew Label Map Segmentation Storage says of any file of that class."""


def program(name: str) -> str | None:
    """The path of a program: on the PATH, or in the package dcmqi; None where it is not installed."""
    found = shutil.which(name)
    spec = None if found else find_spec("dcmqi")
    if spec is not None and spec.origin is not None:
        inside = Path(spec.origin).parent / "bin"
        found = shutil.which(name, path=str(inside))
    return found


def validator_errors(path: Path, deflated: bool, label_map: bool, folder: Path) -> list[str] | None:
    """What dciodvfy calls an error; None where it, or for deflated files dcmconv, is not installed.

    ``folder`` takes an inflated copy: dciodvfy cannot inflate. Raises subprocess.CalledProcessError where dcmconv
    cannot either.
    """
    validator, converter = program("dciodvfy"), program("dcmconv")
    if validator is None or (deflated and converter is None):
        return None
    if deflated and converter is not None:
        plain = folder / "inflated.dcm"
        subprocess.run([converter, "+te", str(path), str(plain)], capture_output=True, check=True)
        path = plain
    done = subprocess.run([validator, str(path)], capture_output=True, text=True, errors="replace")
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("Error")]
    if label_map:
        lines = [line for line in lines if not any(known in line for known in _AGE_OF_VALIDATOR)]
    return lines


def dcmqi_image(path: Path, folder: Path) -> tuple[list[Path], list[str]] | None:
    """The images that dcmqi's segimage2itkimage makes of a file in ``folder``, and its warnings; None without dcmqi.

    Raises subprocess.CalledProcessError where it cannot read the file.
    """
    reader = program("segimage2itkimage")
    if reader is None:
        return None
    command = [reader, "--inputDICOM", str(path), "--outputDirectory", str(folder), "--prefix", "dcmqi"]
    command += ["--outputType", "nrrd"]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=True)
    warnings = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("W:")]
    return sorted(folder.glob("dcmqi*.nrrd")), warnings
