"""What a network has to beat: GrowCut and region growing from the same prompt, in three dimensions.

Both get seeds from the prompt alone: a box marks the ellipse in its middle as the object, and all that lies a tenth
outside it in the plane as background, on every slice; a click marks a small disc, and the border of the region is
background. Neither is told where the object ends along the axis, but that it reaches no farther than 1.5 times
half its width. GrowCut is Slicer's own (``vtkImageGrowCutSegment`` of slicer-core).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from MedSAM2Lib.evaluation.cases import Case
from MedSAM2Lib.evaluation.rounds import Outcome
from MedSAM2Lib.types import BoolArray, BoxPrompt, PointPrompt, Prompt
from MedSAM2Lib.volume.components import components_touching

INNER, OUTER = 0.6, 1.1
LONGEST = 1.5
CLICK_REACH_MM = 60.0
CLICK_RADIUS = 2.0
GREY_LIMITS = (-200.0, 300.0)
DEVIATIONS = 2.5


@dataclass(frozen=True, eq=False)
class Seeds:
    """The part of a volume [k, j, i] that is looked at, and in it what is certainly object and certainly not."""

    box: tuple[slice, slice, slice]
    inside: BoolArray
    outside: BoolArray


def seeds_of(case: Case, prompt: Prompt) -> Seeds:
    """Seeds from a box or a click on a slice along k; raises ValueError for another prompt."""
    i_mm, j_mm, k_mm = case.volume.spacing
    if isinstance(prompt, BoxPrompt):
        low, high = np.array(prompt.first), np.array(prompt.last)
        centre, half = (low + high) / 2, (high - low + 1) / 2
        inner, outer = half[:2] * INNER, half[:2] * OUTER
    elif isinstance(prompt, PointPrompt):
        centre = np.array(prompt.ijk)
        half = np.array([CLICK_REACH_MM / i_mm, CLICK_REACH_MM / j_mm])
        inner, outer = np.array([CLICK_RADIUS, CLICK_RADIUS]), half
    else:
        raise ValueError("only a box or a click gives seeds here")
    reach = LONGEST * max(half[0] * i_mm, half[1] * j_mm) / k_mm
    shape = case.truth.shape
    margins = (reach, outer[1] + 3, outer[0] + 3)
    starts = [max(0, int(c - m)) for c, m in zip(centre[::-1], margins)]
    stops = [min(size, int(np.ceil(c + m)) + 1) for c, m, size in zip(centre[::-1], margins, shape)]
    k, j, i = np.ogrid[tuple(slice(a, b) for a, b in zip(starts, stops))]
    ellipse = ((i - centre[0]) / inner[0]) ** 2 + ((j - centre[1]) / inner[1]) ** 2 <= 1
    inside = ellipse & (k == round(centre[2]))
    beside = (np.abs(i - centre[0]) > outer[0]) | (np.abs(j - centre[1]) > outer[1])
    outside = np.broadcast_to(beside | (np.abs(k - centre[2]) >= reach - 1), inside.shape)
    return Seeds((slice(starts[0], stops[0]), slice(starts[1], stops[1]), slice(starts[2], stops[2])), inside, outside)


class GrowCut:
    """Vezhnevets and Konouchine 2005, in the fast form of Zhu et al. 2014 that Slicer has."""

    def __init__(self, case: Case) -> None:
        self._case = case

    def add(self, prompts: Sequence[Prompt]) -> Outcome:
        """From one prompt."""
        import slicer
        import vtk
        from vtk.util.numpy_support import vtk_to_numpy

        seeds = seeds_of(self._case, prompts[0])
        greys = np.clip(self._case.volume.array[seeds.box], *GREY_LIMITS)
        labels = np.where(seeds.inside, 1, np.where(seeds.outside, 2, 0))
        grow = slicer.vtkImageGrowCutSegment()
        grow.SetIntensityVolume(_image(greys, self._case.volume.spacing, vtk.VTK_SHORT))
        grow.SetSeedLabelVolume(_image(labels, self._case.volume.spacing, vtk.VTK_SHORT))
        grow.Update()
        found = vtk_to_numpy(grow.GetOutput().GetPointData().GetScalars()).reshape(greys.shape) == 1
        return Outcome(_placed(self._case, seeds, found), 0)


class RegionGrowing:
    """Voxels within 2.5 standard deviations of the seed's mean that hang together with it, smoothed a little."""

    def __init__(self, case: Case) -> None:
        self._case = case

    def add(self, prompts: Sequence[Prompt]) -> Outcome:
        """From one prompt."""
        seeds = seeds_of(self._case, prompts[0])
        greys = ndimage.median_filter(self._case.volume.array[seeds.box].astype(np.float32), 3)
        marked = greys[seeds.inside]
        near = np.abs(greys - marked.mean()) <= DEVIATIONS * max(float(marked.std()), 1.0)
        opened = ndimage.binary_opening(near & ~seeds.outside) | (near & seeds.inside)
        return Outcome(_placed(self._case, seeds, components_touching(opened, seeds.inside)), 0)


def _image(values: NDArray, spacing: tuple[float, float, float], kind: int) -> object:
    import vtk
    from vtk.util.numpy_support import numpy_to_vtk

    image = vtk.vtkImageData()
    image.SetDimensions(*values.shape[::-1])
    image.SetSpacing(*spacing)
    image.GetPointData().SetScalars(numpy_to_vtk(values.astype(np.int16).ravel(), deep=True, array_type=kind))
    return image


def _placed(case: Case, seeds: Seeds, found: BoolArray) -> BoolArray:
    mask = np.zeros(case.truth.shape, dtype=bool)
    mask[seeds.box] = found
    return mask
