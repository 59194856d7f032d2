"""Whether prompts fit the volume and their slice: the same checks for every engine."""

from __future__ import annotations

from collections.abc import Sequence

from MedSAM2Lib.errors import PromptError
from MedSAM2Lib.types import (
    IJK,
    Axis,
    BoxPrompt,
    MaskPrompt,
    PointPrompt,
    Prompt,
    PropagationRequest,
    SliceKey,
    array_dimension,
    ijk_position,
    in_plane_axes,
)

Shape = tuple[int, ...]


def slice_pixel(ijk: IJK, axis: Axis) -> tuple[int, int]:
    """The (row, column) of the slice's pixel nearest to a voxel coordinate."""
    rows, columns = in_plane_axes(axis)
    return round(ijk[ijk_position(rows)]), round(ijk[ijk_position(columns)])


def prompted_slices(prompts: Sequence[Prompt], axis: Axis) -> list[int]:
    """Indices along ``axis`` of the slices that carry a prompt made on that axis, ascending.

    Raises PromptError ``E_NO_PROMPT`` where there is none, and as ``check_positive``.
    """
    indices = sorted({prompt.slice.index for prompt in prompts if prompt.axis == axis})
    if all(is_empty(prompt) for prompt in prompts if prompt.axis == axis):
        raise PromptError(
            "E_NO_PROMPT",
            "There is no prompt on a slice along axis {axis}: add a point, a box or a mask on one of them first.",
            axis=axis,
        )
    check_positive(prompts)
    return indices


def check_positive(prompts: Sequence[Prompt], name: str | None = None) -> None:
    """Raises PromptError where no prompt of an object says where it is: negative points and emptied slices alone."""
    if any(is_positive(prompt) for prompt in prompts):
        return
    what = "An object" if name is None else f"The object '{name}'"
    if any(is_empty(prompt) for prompt in prompts):
        raise PromptError(
            "E_ONLY_EMPTY",
            "{what} has empty masks but no prompt that says where it is: add a point inside it, a box or a mask.",
            what=what,
        )
    raise PromptError(
        "E_ONLY_NEGATIVE",
        "{what} has negative points only, which say where it is not: add a point inside it, a box or a mask.",
        what=what,
    )


def is_empty(prompt: Prompt) -> bool:
    """Whether a prompt is a mask without a voxel: nothing of the object is on its slice."""
    return isinstance(prompt, MaskPrompt) and not prompt.mask.any()


def is_positive(prompt: Prompt) -> bool:
    """Whether a prompt says where the object is: a positive point, a box, or a mask with a voxel."""
    return prompt.positive if isinstance(prompt, PointPrompt) else not is_empty(prompt)


def check_prompt(prompt: Prompt, shape: Shape) -> None:
    """Raises PromptError unless the prompt fits a volume of ``shape`` [k, j, i] and its own slice."""
    if isinstance(prompt, PointPrompt):
        _check_inside(prompt.ijk, shape, "point")
    elif isinstance(prompt, BoxPrompt):
        _check_box(prompt, shape)
    else:
        _check_mask(prompt, shape)


def check_range(request: PropagationRequest, prompted: Sequence[int], slice_count: int) -> tuple[int, int]:
    """The request's inclusive range on an axis of ``slice_count`` slices; all of it where none is given.

    Raises PromptError for a range that is empty, outside the volume, or without one of the prompted slices.
    """
    first = 0 if request.first is None else request.first
    last = slice_count - 1 if request.last is None else request.last
    if not 0 <= first <= last < slice_count:
        raise PromptError(
            "E_RANGE",
            "The range {first} to {last} is not within the slices of axis {axis}, 0 to {end}: give FIRST,LAST "
            "with FIRST not above LAST.",
            first=first,
            last=last,
            axis=request.axis,
            end=slice_count - 1,
        )
    outside = [index for index in prompted if not first <= index <= last]
    if outside:
        raise PromptError(
            "E_RANGE_PROMPT",
            "The prompt on slice {index} lies outside the range {first} to {last}: widen the range or move the prompt.",
            index=outside[0],
            first=first,
            last=last,
        )
    return first, last


def _check_inside(ijk: IJK, shape: Shape, what: str) -> None:
    size = shape[::-1]
    if not all(-0.5 <= value < count - 0.5 for value, count in zip(ijk, size)):
        raise PromptError(
            "E_PROMPT_OUTSIDE",
            "The {what} {ijk} lies outside the volume of {size} voxels: give i,j,k from 0,0,0 to {last}.",
            what=what,
            ijk=",".join(f"{value:g}" for value in ijk),
            size="x".join(str(count) for count in size),
            last=",".join(str(count - 1) for count in size),
        )


def _check_box(box: BoxPrompt, shape: Shape) -> None:
    _check_inside(box.first, shape, "box corner")
    _check_inside(box.last, shape, "box corner")
    position = ijk_position(box.axis)
    if round(box.first[position]) != round(box.last[position]):
        raise PromptError(
            "E_BOX_SLICE",
            "The box spans several slices of axis {axis} ({first:g} to {last:g}) and must lie on one: give both "
            "corners the same {axis}, or choose another --axis.",
            axis=box.axis,
            first=box.first[position],
            last=box.last[position],
        )
    (top, left), (bottom, right) = slice_pixel(box.first, box.axis), slice_pixel(box.last, box.axis)
    if bottom <= top or right <= left:
        raise PromptError(
            "E_BOX_AREA",
            "The box has no area on its slice: give two corners that differ in both directions of the slice "
            "(here {axes}).",
            axes=" and ".join(in_plane_axes(box.axis)),
        )


def _check_mask(prompt: MaskPrompt, shape: Shape) -> None:
    dimension = array_dimension(prompt.axis)
    expected = tuple(size for place, size in enumerate(shape) if place != dimension)
    if not 0 <= prompt.slice.index < shape[dimension]:
        raise PromptError(
            "E_PROMPT_OUTSIDE",
            "The mask's slice {index} is not among the slices of axis {axis}, 0 to {last}: choose one of those.",
            index=prompt.slice.index,
            axis=prompt.axis,
            last=shape[dimension] - 1,
        )
    if prompt.mask.shape != expected:
        raise PromptError(
            "E_MASK_SHAPE",
            "The mask has {found} pixels and its slice {expected}: give a mask on the volume's own grid.",
            found="x".join(map(str, prompt.mask.shape)),
            expected="x".join(map(str, expected)),
        )


def no_object(object_id: int) -> PromptError:
    """The error of an id that no object has."""
    return PromptError(
        "E_NO_OBJECT", "There is no object {object_id} in this session: add it first.", object_id=object_id
    )


def no_prompt_on(key: SliceKey, name: str) -> PromptError:
    """The error of a preview without a prompt."""
    return PromptError(
        "E_NO_PROMPT",
        "Slice {index} of axis {axis} has no prompt for '{name}': add a point, a box or a mask on it first.",
        index=key.index,
        axis=key.axis,
        name=name,
    )
