"""Places in slice views, kept within the volume: where a drag ends that has left it, which slice is nearest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from MedSAM2Lib.types import IJK, ijk_position
from MedSAM2SlicerLib.scene.geometry import apply, as_array, nearest_index, ras_to_ijk, volume_shape
from MedSAM2SlicerLib.scene.views import slice_node_of, view_axis


def view_to_clipped_ijk(view: Any, xy: Sequence[float], volume_node: Any) -> IJK:
    """The centre of the voxel that is nearest to a position of a view, in display pixels from its lower left corner."""
    ras = apply(as_array(slice_node_of(view).GetXYToRAS()), (float(xy[0]), float(xy[1]), 0.0))
    sizes = volume_shape(volume_node)[::-1]
    places = zip(ras_to_ijk(volume_node, ras), sizes)
    i, j, k = (float(min(max(nearest_index(place), 0), size - 1)) for place, size in places)
    return i, j, k


def slice_index_of(view: Any, volume_node: Any) -> int | None:
    """The slice of the view's axis that its centre lies on, tilted or not; None beyond the volume."""
    axis, _tilt = view_axis(view, volume_node)
    centre = as_array(slice_node_of(view).GetSliceToRAS())[:3, 3]
    index = nearest_index(ras_to_ijk(volume_node, centre)[ijk_position(axis)])
    return index if 0 <= index < volume_shape(volume_node)[::-1][ijk_position(axis)] else None
