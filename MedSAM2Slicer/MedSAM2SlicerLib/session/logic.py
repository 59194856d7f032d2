"""The way in without a panel: one call that segments and returns when it is done, by the same session as the panel."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, Union

import numpy as np

from MedSAM2Lib.errors import InputError, MedSAM2Error
from MedSAM2Lib.types import IJK, Axis, MaskPrompt, Orientations, PointPrompt, SliceKey
from MedSAM2SlicerLib.scene.segments import segment_mask
from MedSAM2SlicerLib.session.controller import SessionController
from MedSAM2SlicerLib.session.ports import EngineFactory, Node
from MedSAM2SlicerLib.session.scene_parts import MrmlScene
from MedSAM2SlicerLib.session.tickers import LoopTicker

Point = Union[PointPrompt, IJK]
"""A prompt, or the voxel (i, j, k) of a positive one."""


@dataclass(frozen=True)
class SegmentReport:
    """What came out: voxels of the segment now, and of them changed ones; slices along the axis with the object.

    ``least_trusted`` is the slice of the lowest predicted IoU, ``notices`` what the user should know, ``seconds`` the
    time that all of it took.
    """

    voxels: int
    changed_voxels: int
    slices: int
    least_trusted: SliceKey | None
    notices: tuple[str, ...]
    seconds: float


def segment(
    volume_node: Node,
    segmentation_node: Node,
    segment_id: str,
    points: Sequence[Point] = (),
    box: tuple[IJK, IJK] | None = None,
    orientations: Literal[1, 3, "1", "3", "auto"] = 3,
    *,
    engine_factory: EngineFactory,
    mask: MaskPrompt | None = None,
    axis: Axis = "k",
    slices: tuple[int, int] | None = None,
    memory: str = "self-sorting",
    model: str = "embedded",
    window: tuple[float, float] | None = None,
) -> SegmentReport:
    """Segments one structure from prompts, into a segment, as one undo step. Blocks; needs no window and no event loop.

    Args:
        volume_node: the volume.
        segmentation_node: on the volume's grid.
        segment_id: the segment; prompts that it has already count too.
        points: voxels (i, j, k) inside the structure, or ``PointPrompt``, negative ones too.
        box: two opposite voxel corners (i, j, k) of a box on one slice, inclusive.
        orientations: how many axes look at the structure.
        engine_factory: makes the engine; called on a thread of its own.
        mask: the structure's mask on one slice; written into the segment first.
        axis: of the slices that points and box lie on, and that the propagation starts along.
        slices: first and last slice along the axis; all of them if None.
        memory: kind of memory.
        model: the model's name.
        window: grey values shown as black and white; those of the volume's display if None.

    Raises:
        InputError, ModelError, DeviceError: what the user can mend; the segment is then as it was.
        RuntimeError: the engine failed, with its trace.
    """
    start = time.perf_counter()
    before = segment_mask(segmentation_node, segment_id, volume_node)
    ticker = LoopTicker()
    session = SessionController(engine_factory, MrmlScene(volume_node.GetScene()), ticker, model=model)
    run = _Blocking(session, ticker)
    try:
        session.set_orientations(_orientations(orientations))
        session.set_memory(memory)
        run(lambda: session.open(volume_node, segmentation_node, segment_id))
        if window is not None:
            session.set_window(*window)
        if mask is not None:
            run(lambda: session.draw_slice(mask.slice, mask.mask))
        for point in points:
            prompt = point if isinstance(point, PointPrompt) else PointPrompt(point, axis)
            run(partial(session.add_point, prompt.ijk, prompt.axis, prompt.positive), may_follow=True)
        if box is not None:
            run(lambda: session.add_box(*box, axis))
        session.set_range(*(slices or (0, session.state.slice_count - 1)))
        run(session.propagate)
        return _report(session, before, segment_mask(segmentation_node, segment_id, volume_node), start)
    finally:
        session.close()


class _Blocking:
    """Waits for the end of what a call to the session leads to, and raises what went wrong."""

    def __init__(self, session: SessionController, ticker: LoopTicker) -> None:
        self._session = session
        self._ticker = ticker

    def __call__(self, call: Callable[[], object], may_follow: bool = False) -> None:
        """With ``may_follow`` a further prompt may still make it right: a negative point before a positive one."""
        call()
        self._ticker.run()
        error = self._session.state.error
        if error is not None and not (may_follow and error.code == "E_ONLY_NEGATIVE"):
            raise error.cause if isinstance(error.cause, MedSAM2Error) else RuntimeError(error.trace or error.sentence)


def _orientations(value: object) -> Orientations:
    known: dict[str, Orientations] = {"1": "1", "3": "3", "auto": "auto"}
    if str(value) in known:
        return known[str(value)]
    raise InputError(
        "E_ORIENTATIONS", "{value} orientations are none of 1, 3 and auto: give one of those.", value=value
    )


def _report(session: SessionController, before: np.ndarray, after: np.ndarray, start: float) -> SegmentReport:
    trusts = {key: one for key, one in session.state.slices.items() if one.found}
    return SegmentReport(
        voxels=int(np.count_nonzero(after)),
        changed_voxels=int(np.count_nonzero(before != after)),
        slices=len(trusts),
        least_trusted=min(trusts, key=lambda key: trusts[key].predicted_iou, default=None),
        notices=session.state.notices,
        seconds=time.perf_counter() - start,
    )
