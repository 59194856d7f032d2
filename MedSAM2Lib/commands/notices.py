"""What a user should know of a result before trusting it: doubt, emptiness, overlaps, a window that shows nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from MedSAM2Lib.tracking.engine import stop_rule_for
from MedSAM2Lib.types import BoxPrompt, MaskPrompt, PointPrompt, SliceResult, ijk_position
from MedSAM2Lib.volume.intensity import CT_PRESETS, Window
from MedSAM2Lib.volume.volume import Volume, finite_range

if TYPE_CHECKING:
    from MedSAM2Lib.commands.segmentation import ReadyModel, Segmentation, SegmentSettings


def notices_of(done: Segmentation, model: ReadyModel, settings: SegmentSettings) -> Iterator[str]:
    """Sentences on a segmentation whose labels are filled in."""
    if settings.window != "auto":
        yield from _useless_window(done.volume, done.session.view.window)
    else:
        yield from _other_window(done.session.view.window)
    yield from _rounded(done)
    least = stop_rule_for(model.loaded.config, enabled=True).predicted_iou
    for object_id in done.object_ids:
        for result in done.results_of(object_id):
            if result.prompted and result.predicted_iou <= least and not done.session.is_given(result):
                yield _unsure(done, object_id, result)
        yield from done.session.notices(object_id)
    for object_id, name in enumerate(done.names, start=1):
        if not (done.labels == object_id).any():
            yield f"The mask of '{name}' is empty: try a box, other points, or another model."
    for (first, second), voxels in sorted(done.overlaps.items()):
        yield (
            f"'{done.names[first - 1]}' and '{done.names[second - 1]}' overlap in {_voxels(voxels)}: each went to the "
            "one with the larger logit, those of a drawn mask stayed with it."
        )


def _useless_window(volume: Volume, window: Window) -> Iterator[str]:
    if any(((pixels >= window.low) & (pixels <= window.high)).any() for pixels in volume.array):
        return
    low, high = finite_range(volume)
    yield (
        f"The window {window.low:g},{window.high:g} holds none of the volume's values ({low:g} to {high:g}), so that "
        "the model saw black and white only: leave --window out, or give another one."
    )


def _other_window(window: Window) -> Iterator[str]:
    """CT presets that the first prompt asked for, in place of soft tissue's."""
    for name in ("lung", "bone", "angiography"):
        if CT_PRESETS[name] == window:
            yield (
                "What the first prompt points at lies outside the soft-tissue window: the model saw the "
                f"{name} window, {window.low:g},{window.high:g}. Give --window to choose another."
            )


def _rounded(done: Segmentation) -> Iterator[str]:
    """Prompts between two slices, and where they went."""
    for segmented in done.session.objects.values():
        for prompt in segmented.prompts:
            if isinstance(prompt, MaskPrompt):
                continue
            ijk = prompt.ijk if isinstance(prompt, PointPrompt) else prompt.first
            place = ijk[ijk_position(prompt.axis)]
            if place != prompt.slice.index:
                yield (
                    f"A prompt of '{segmented.name}' at {prompt.axis} = {place:g} was put on slice "
                    f"{prompt.slice.index}, the nearest one."
                )


def _unsure(done: Segmentation, object_id: int, result: SliceResult) -> str:
    prompts = done.session.objects[object_id].prompts_on(result.key)
    boxed = any(isinstance(prompt, BoxPrompt) for prompt in prompts)
    return (
        f"The model is unsure of '{done.names[object_id - 1]}' on the prompted slice {result.key.index} "
        f"(predicted IoU {result.predicted_iou:.2f}): try {'points in the box' if boxed else 'a box, or more points'}."
    )


def _voxels(count: int) -> str:
    return "1 voxel" if count == 1 else f"{count} voxels"
