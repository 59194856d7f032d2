"""A mask prompt from a file: one object of it, and never a guess which."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from MedSAM2Lib.errors import PromptError
from MedSAM2Lib.types import BoolArray
from MedSAM2Lib.volume.io.images import check_file
from MedSAM2Lib.volume.io.labels import LabelFile, Segment, on_volume, read_labels
from MedSAM2Lib.volume.volume import Volume

_MOST_LABELS = 255
_NAMED_LABELS = 8
_SAVE_ALONE = "save the one that you mean in a file of its own"


def read_mask_prompt(path: str | Path, volume: Volume, label: int | None = None) -> BoolArray:
    """The voxels of one object of a mask file, boolean ``[k, j, i]`` on the volume's grid.

    Args:
        path: a file as ``read_objects`` takes it.
        volume: gives the grid.
        label: which label is the object; None where there is only one.

    Raises PromptError for another grid, an empty mask, negative values, more than 255 of them, a label that is not
    there, and several labels where none was named; VolumeError for a bad file and for fractions.
    """
    path = Path(path)
    check_file(path)
    read = read_labels(path)
    found = _objects_in(read, path)
    if label is not None:
        found = _with_label(found, label, path)
    if len(found) > 1:
        raise _several(found, path)
    mask = np.asarray(read.layers[found[0].layer] == found[0].value)
    return on_volume(mask, read.grid, volume, path)


def _objects_in(read: LabelFile, path: Path) -> list[Segment]:
    """The labels that a file really holds, named where it names them."""
    names = {(one.layer, one.value): one.name for one in read.segments or ()}
    found = []
    for layer, array in enumerate(read.layers):
        values: set[int] = set()
        for pixels in array:
            values |= {int(value) for value in np.unique(pixels)}
            if min(values) < 0 or len(values) > _MOST_LABELS + 1:
                raise _no_labels(values, path)
        found += [Segment(names.get((layer, value), ""), layer, value) for value in sorted(values - {0})]
    if not found:
        raise PromptError(
            "E_MASK_EMPTY", "The mask {path} is empty: mark at least one voxel of the object in it.", path=path
        )
    return found


def _no_labels(values: set[int], path: Path) -> PromptError:
    what = f"the negative value {min(values)}" if min(values) < 0 else f"more than {_MOST_LABELS} different values"
    return PromptError(
        "E_MASK_NOT_LABELS",
        "{path} is no mask, it holds {what} as a grey image does: give a label map, 0 outside and one whole number "
        "for each object.",
        path=path,
        what=what,
    )


def _several(found: Sequence[Segment], path: Path) -> PromptError:
    values = [one.value for one in found]
    alone = [value for value in values if values.count(value) == 1]
    return PromptError(
        "E_MASK_LABELS",
        "{path} holds {count} objects ({labels}): {remedy}.",
        path=path,
        count=len(found),
        labels=_listed(found),
        remedy=f"say which one, for example --mask {path}:{alone[0]}" if alone else _SAVE_ALONE,
    )


def _with_label(found: Sequence[Segment], label: int, path: Path) -> list[Segment]:
    chosen = [one for one in found if one.value == label]
    if len(chosen) == 1:
        return chosen
    if not chosen:
        raise PromptError(
            "E_MASK_LABEL",
            "{path} has no voxel of label {label}; it holds {labels}.",
            path=path,
            label=label,
            labels=_listed(found),
        )
    raise PromptError(
        "E_MASK_LABEL",
        "Several segments of {path} have the label {label} in layers of their own ({labels}): {remedy}.",
        path=path,
        label=label,
        labels=_listed(chosen),
        remedy=_SAVE_ALONE,
    )


def _listed(found: Sequence[Segment]) -> str:
    words = [f"{one.value} {one.name}".strip() for one in found[:_NAMED_LABELS]]
    return ", ".join([*words, *(["..."] if len(found) > _NAMED_LABELS else [])])
