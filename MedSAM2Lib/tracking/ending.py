"""Empty keyframes: slices that the user emptied, and where they end the object. Integers only."""

from __future__ import annotations

from collections.abc import Sequence

from MedSAM2Lib.tracking.checks import is_empty, is_positive
from MedSAM2Lib.tracking.keyframes import Interval
from MedSAM2Lib.types import Axis, BoxPrompt, MaskPrompt, PointPrompt, Prompt, array_dimension, ijk_position


def emptied_slices(prompts: Sequence[Prompt], axis: Axis) -> set[int]:
    """Indices along an axis of the slices on which the user says that there is nothing of the object."""
    return {prompt.slice.index for prompt in prompts if prompt.axis == axis and is_empty(prompt)}


def object_span(prompts: Sequence[Prompt], axis: Axis, slice_count: int) -> Interval:
    """The slices along an axis on which the object may be: those between the emptied ones next to where it is.

    Emptied slices amid the object's prompts end nothing: it may vanish and return.
    """
    emptied = emptied_slices(prompts, axis)
    spans = [_span(prompt, axis) for prompt in prompts if is_positive(prompt)]
    if not spans or not emptied:
        return Interval(axis, 0, slice_count - 1)
    lowest, highest = min(first for first, _ in spans), max(last for _, last in spans)
    below = max((index + 1 for index in emptied if index < lowest), default=0)
    above = min((index - 1 for index in emptied if index > highest), default=slice_count - 1)
    return Interval(axis, below, above)


def _span(prompt: Prompt, axis: Axis) -> tuple[int, int]:
    """The first and the last slice along an axis that a prompt touches."""
    if isinstance(prompt, PointPrompt):
        index = round(prompt.ijk[ijk_position(axis)])
        return index, index
    if isinstance(prompt, BoxPrompt):
        return round(prompt.first[ijk_position(axis)]), round(prompt.last[ijk_position(axis)])
    return _mask_span(prompt, axis)


def _mask_span(prompt: MaskPrompt, axis: Axis) -> tuple[int, int]:
    if prompt.axis == axis:
        return prompt.slice.index, prompt.slice.index
    others = [dimension for dimension in range(3) if dimension != array_dimension(prompt.axis)]
    along = others.index(array_dimension(axis))
    marked = prompt.mask.any(axis=1 - along).nonzero()[0]
    return int(marked[0]), int(marked[-1])
