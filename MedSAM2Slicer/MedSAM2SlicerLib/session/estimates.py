"""How long a propagation takes, from the seconds that slices have taken so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median

from MedSAM2Lib.types import AXES, Axis, BoolArray, Orientations, SliceKey, array_dimension, in_plane_axes
from MedSAM2SlicerLib.session.state import Estimate

_RECENT = 16
_MARGIN = 1.25
"""Other orientations look at the previewed object's extent, and a little more, since it grows away from there."""


@dataclass
class SpeedBook:
    """Seconds per slice: the median of this session's latest steps, else of its previews, else a stored figure."""

    stored: float | None = None
    _tracked: list[float] = field(default_factory=list)
    _previewed: list[float] = field(default_factory=list)

    def note_step(self, seconds: float) -> None:
        """A tracked slice took so long."""
        self._tracked = [*self._tracked, seconds][-_RECENT:]

    def note_preview(self, seconds: float) -> None:
        """A slice that had not been encoded before was encoded and decoded in so long."""
        self._previewed = [*self._previewed, seconds][-_RECENT:]

    @property
    def measured(self) -> bool:
        """Whether this session has a figure of its own."""
        return bool(self._tracked or self._previewed)

    @property
    def seconds_per_slice(self) -> float | None:
        """The best figure there is; None without any."""
        own = self._tracked or self._previewed
        return median(own) if own else self.stored


@dataclass(frozen=True)
class Extent:
    """How far the previewed object reaches along each axis, in slices; None where nothing has been previewed."""

    slices: dict[Axis, int]

    @staticmethod
    def of_slice(key: SliceKey, mask: BoolArray) -> Extent:
        """The extents of a slice's mask along its rows and its columns."""
        rows, columns = in_plane_axes(key.axis)
        found = {rows: int(mask.any(axis=1).sum()), columns: int(mask.any(axis=0).sum())}
        return Extent(found)

    def joined(self, other: Extent) -> Extent:
        """The larger one along each axis."""
        axes = {*self.slices, *other.slices}
        return Extent({axis: max(self.slices.get(axis, 0), other.slices.get(axis, 0)) for axis in axes})


def network_steps(
    axis: Axis, first: int, last: int, orientations: Orientations, extent: Extent, shape: tuple[int, ...]
) -> int:
    """About how many slices the network will see in a propagation of ``first`` to ``last`` along ``axis``."""
    steps = last - first + 1
    if orientations == "1":
        return steps
    for other in AXES:
        if other != axis:
            count = shape[array_dimension(other)]
            steps += min(count, round(_MARGIN * extent.slices.get(other, count // 3)))
    return steps


def estimate(
    axis: Axis,
    first: int,
    last: int,
    orientations: Orientations,
    extent: Extent,
    shape: tuple[int, ...],
    speed: SpeedBook,
) -> Estimate:
    """What a propagation of slices ``first`` to ``last`` of ``axis`` in a volume of ``shape`` [k, j, i] will take."""
    steps = network_steps(axis, first, last, orientations, extent, shape)
    seconds = speed.seconds_per_slice
    return Estimate(first, last, steps, None if seconds is None else seconds * steps, speed.measured)
