"""What tests of training on a user's own cases share: folders of cases as the Slicer module saves them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from MedSAM2Lib.volume.io import write_mask
from MedSAM2Lib.volume.volume import Volume
from Testing.engine.phantoms import two_organs

SPACING = (1.2, 1.2, 2.0)


def written_image(path: Path, array: np.ndarray) -> None:
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(SPACING)
    sitk.WriteImage(image, str(path))


def written_case(folder: Path, seed: int = 0, window: tuple[float, float] | None = (-200.0, 300.0)) -> Path:
    """A noisy phantom with two organs."""
    folder.mkdir(parents=True)
    image, first = two_organs()
    noisy = (image + np.random.default_rng(seed).normal(0, 10, image.shape)).astype(np.int16)
    labels = first.astype(np.uint8)
    labels[3:8, 17:24, 20:27] = 2
    written_image(folder / "image.nrrd", noisy)
    write_mask(folder / "mask.seg.nrrd", labels, Volume.from_array(noisy, SPACING), ["organ", "cube"])
    if window is not None:
        (folder / "provenance.json").write_text(json.dumps({"window": list(window), "module": "a test"}))
    return folder


def written_cases(folder: Path, count: int = 3) -> Path:
    for number in range(count):
        written_case(folder / f"case-{number}", number)
    return folder
