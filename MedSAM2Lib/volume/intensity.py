"""Windows: which grey values the network is shown, from black to white."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from MedSAM2Lib.errors import InputError
from MedSAM2Lib.types import FloatArray
from MedSAM2Lib.volume.volume import Volume

_AIR_HU = -500.0
_LEAST_SHARE_OF_AIR = 0.02
_LEAST_SHARE_OF_NEGATIVES = 0.01
_LEAST_MAXIMUM_OF_8_BITS = 128
_PERCENTILES = (0.5, 99.5)
_SAMPLED_VOXELS = 16_000_000


@dataclass(frozen=True)
class Window:
    """Grey values shown as black (``low``) and white (``high``). Raises InputError unless finite and low < high."""

    low: float
    high: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise InputError(
                "E_WINDOW",
                "The window {low:g},{high:g} is not two numbers with LOW below HIGH: give for example -160,240.",
                low=self.low,
                high=self.high,
            )

    @staticmethod
    def from_level(level: float, width: float) -> Window:
        """The window that radiologists call level and width: from level - width / 2 to level + width / 2."""
        return Window(level - width / 2, level + width / 2)

    def apply(self, array: NDArray) -> FloatArray:
        """Grey values as float32 in 0..1, clipped; any shape."""
        return self._unit(array).astype(np.float32)

    def to_bytes(self, array: NDArray) -> NDArray[np.uint8]:
        """Grey values as 0..255, clipped and cut to integers in the published order of operations; any shape."""
        if array.dtype == np.uint8 and (self.low, self.high) == (0.0, 255.0):
            return array
        return (self._unit(array) * 255.0).astype(np.uint8)

    def _unit(self, array: NDArray) -> NDArray[np.float64]:
        values = np.clip(array.astype(np.float64), self.low, self.high)
        values -= self.low
        values /= self.high - self.low
        return values


CT_PRESETS = {
    "soft-tissue": Window.from_level(40, 400),
    "lung": Window.from_level(-600, 1500),
    "mediastinum": Window.from_level(50, 350),
    "bone": Window.from_level(400, 1800),
    "brain": Window.from_level(40, 80),
    "liver": Window.from_level(60, 160),
    "angiography": Window.from_level(300, 600),
}
"""Windows in Hounsfield units, by name."""


def parse_window(text: str) -> Window:
    """A window from ``LOW,HIGH`` or the name of a CT preset; raises InputError for anything else."""
    preset = CT_PRESETS.get(text.strip().lower())
    if preset is not None:
        return preset
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        raise InputError(
            "E_WINDOW_TEXT",
            "The window '{text}' is neither LOW,HIGH (for example -160,240) nor one of {names}: give one of those.",
            text=text,
            names=", ".join(CT_PRESETS),
        ) from None
    return Window(low, high)


def automatic_window(volume: Volume, modality: str | None = None) -> Window:
    """A window from the voxels, all finite.

    CT, by ``modality`` or by its air: soft tissue, -160 to 240 HU. Unsigned bytes that use their range: 0 to 255, they
    are windowed already. Anything else: the 0.5 and 99.5 percentiles of the voxels above 0 as MedSAM2 does, or of all
    voxels where negative values are more than a stray; widened where both are one number.
    """
    if modality is not None and modality.upper() == "CT":
        return CT_PRESETS["soft-tissue"]
    if volume.array.dtype == np.uint8 and volume.array.max() >= _LEAST_MAXIMUM_OF_8_BITS:
        return Window(0.0, 255.0)
    values = _sampled(volume.array)
    if modality is None and float(np.mean(values <= _AIR_HU)) >= _LEAST_SHARE_OF_AIR:
        return CT_PRESETS["soft-tissue"]
    if float(np.mean(values < 0)) < _LEAST_SHARE_OF_NEGATIVES and (values > 0).any():
        values = values[values > 0]
    low, high = (float(value) for value in np.percentile(values.astype(np.float64), _PERCENTILES))
    return _widened(low, high)


def _sampled(array: NDArray) -> NDArray:
    """All voxels, or those of a regular sub-grid where they are too many to sort."""
    step = max(1, math.ceil((array.size / _SAMPLED_VOXELS) ** (1 / 3)))
    return array[::step, ::step, ::step].ravel()


def _widened(low: float, high: float) -> Window:
    margin = max(1e-6 * abs(low), np.finfo(np.float32).tiny)
    if high - low > margin:
        return Window(low, high)
    half = max(0.5, 0.01 * abs(low))
    return Window(low - half, high + half)
