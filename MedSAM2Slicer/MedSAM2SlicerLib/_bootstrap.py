"""Puts the engine, MedSAM2Lib, on Python's search path where it is not there yet: in a clone."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path


def make_engine_importable(package_folder: Path | None = None) -> None:
    """Makes ``import MedSAM2Lib`` work, in whichever of the three layouts this package lies.

    In Slicer's install tree and in a wheel the engine lies beside this package and is found already. In a clone only
    the folder of MedSAM2Slicer.py is on the search path, and the engine lies beside that folder.

    Args:
        package_folder: the folder of the package ``MedSAM2SlicerLib``; that of this file by default.
    """
    if find_spec("MedSAM2Lib") is None:
        clone = (package_folder or Path(__file__).resolve().parent).parents[1]
        if (clone / "MedSAM2Lib" / "__init__.py").is_file() and str(clone) not in sys.path:
            sys.path.append(str(clone))
