"""What tests of `medsam2 segment` share: a volume in a file, a folder for what comes out, and the command itself.

``volume`` and ``out`` are fixtures: a test file that imports them by name can ask for them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MedSAM2Lib.cli import main
from Testing.engine.phantoms import two_organs

ROOT = Path(__file__).resolve().parents[2]
POINT = "11,14,10"
DIRECTION = (0.8, 0.6, 0.0, -0.6, 0.8, 0.0, 0.0, 0.0, -1.0)


def written_volume(path: Path, array: np.ndarray | None = None) -> Path:
    """An oblique, flipped, anisotropic volume in a file."""
    image = sitk.GetImageFromArray(two_organs()[0] if array is None else array)
    image.SetSpacing((1.2, 1.2, 2.0))
    image.SetOrigin((-30.0, 12.5, 700.0))
    image.SetDirection(DIRECTION)
    sitk.WriteImage(image, str(path))
    return path


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    return written_volume(folder / "ct.nrrd")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def segment(*arguments: object) -> int:
    return main(["segment", *(str(argument) for argument in arguments), "--device", "cpu"])
