"""Opening a segment, taking up what the scene says of it, and letting go of everything at any moment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from MedSAM2Lib.errors import MedSAM2Error
from MedSAM2Lib.types import Axis, SliceKey
from MedSAM2SlicerLib.session.before import drawn_elsewhere, kept_slices, keyframes_of, read_marks
from MedSAM2SlicerLib.session.core import Core, Open, text
from MedSAM2SlicerLib.session.engine_side import EngineSide
from MedSAM2SlicerLib.session.ports import Node, Scene, SceneEvents
from MedSAM2SlicerLib.session.ranges import default_range, with_keys
from MedSAM2SlicerLib.session.state import Message
from MedSAM2SlicerLib.session.stepper import Task


class Opening:
    """Opens and closes.

    Args:
        core: shared with the other parts.
        scene: opens the scene's objects.
        on_prompts: called with a segment's id when the user moved or deleted its prompts.
        on_edit: called with a segment's id when something else changed its voxels.
        on_saving: called before the scene is saved.
    """

    def __init__(
        self,
        core: Core,
        scene: Scene,
        on_prompts: Callable[[str], None],
        on_edit: Callable[[str], None],
        on_saving: Callable[[], object],
    ) -> None:
        self._core = core
        self._scene = scene
        self._on_prompts = on_prompts
        self._on_edit = on_edit
        self._on_saving = on_saving

    def open(self, volume_node: Node, segmentation_node: Node, segment_id: str) -> None:
        """Takes a segment at hand. Raises InputError; the session is then idle."""
        opened = self._core.open
        if opened is None or opened.volume_node is not volume_node or opened.segmentation_node is not segmentation_node:
            self.drop()
            opened = self._new(volume_node, segmentation_node, segment_id)
        else:
            opened.parts.segments.name(segment_id)
        opened.segment_id = segment_id
        self._core.open = opened
        opened.previews, opened.gathered, opened.edited, opened.released = {}, None, False, set()
        opened.kept = None
        opened.parts.preview.clear()
        opened.parts.prompts.set_active_segment(segment_id)
        opened.parts.edits.accept(segment_id)
        self._look_at_voxels(opened)
        self._show(opened)

    def drop(self, sentence: str | None = None) -> None:
        """Forgets what is open; nothing that is under way arrives any more, and the engine's memory is freed."""
        opened, self._core.open = self._core.open, None
        self._core.stepper.cancel()
        if opened is None:
            return
        opened.parts.prompts.changed = None
        opened.parts.edits.changed = None
        opened.parts.prompts.set_active_segment(None)
        opened.parts.close()
        self._core.stepper.add(Task("close", lambda: opened.side.close))
        kept = {"orientations": self._core.state.orientations, "memory": self._core.state.memory}
        self._reset(message=text(sentence) if sentence else None, **kept)

    def segment_gone(self, segment_id: str) -> None:
        """A segment was deleted by anyone."""
        opened = self._core.open
        if opened is None:
            return
        opened.parts.prompts.clear(segment_id)
        opened.history.clear()
        if segment_id != opened.segment_id:
            self._core.stepper.add(Task("forget", lambda: lambda: opened.side.forget(segment_id)))
            self._core.say()
            return
        self.drop("The segment was deleted.")

    def _new(self, volume_node: Node, segmentation_node: Node, segment_id: str) -> Open:
        parts = self._scene.open(volume_node, segmentation_node)
        try:
            parts.segments.name(segment_id)
        except MedSAM2Error:
            parts.close()
            raise
        side = EngineSide(self._core.factory, parts.volume)
        opened = Open(volume_node, segmentation_node, parts, side, segment_id)
        parts.prompts.changed = self._on_prompts
        parts.edits.changed = self._on_edit
        parts.watch(SceneEvents(self._gone, self.segment_gone, self._voxels_changed, self._saving))
        return opened

    def _gone(self, what: str) -> None:
        self.drop({"volume": "The volume was deleted.", "segmentation": "The segmentation was deleted."}.get(what))

    def _saving(self) -> None:
        self._on_saving()

    def _voxels_changed(self) -> None:
        """Another image in the same node: what was computed of the old one is worth nothing."""
        opened = self._core.open
        if opened is None:
            return
        self.drop()
        try:
            self.open(opened.volume_node, opened.segmentation_node, opened.segment_id)
        except MedSAM2Error as error:
            self._core.fail(error)
        else:
            self._core.say(message=text("The volume has other voxels now: prompts are kept, the rest begins anew."))

    def _look_at_voxels(self, opened: Open) -> None:
        """What the segment holds that no commit has left there is the user's."""
        record = opened.parts.provenance.read(opened.segment_id)
        mask = opened.parts.segments.mask(opened.segment_id)
        drawn = set(opened.hand_drawn())
        foreign = [one for one in drawn_elsewhere(mask, read_marks(record)) if SliceKey("k", one) not in drawn]
        keys = keyframes_of(foreign)
        for key in keys:
            opened.parts.prompts.set_mask_keyframe(opened.segment_id, key)
        opened.kept = None if keys else kept_slices(mask, foreign)

    def _show(self, opened: Open) -> None:
        """The state of a segment that has just been opened, with what earlier sessions left in the scene."""
        record = opened.parts.provenance.read(opened.segment_id)
        keys = opened.keyframes()
        axis: Axis | None = record.get("axis") or (keys[0].axis if keys else None)
        window = self._core.state.window or _pair(record.get("window"))
        chosen = _pair(record.get("range"))
        on_axis = [key for key in keys if key.axis == axis]
        if axis is not None and on_axis and chosen is None:
            chosen = default_range(opened.parts.volume, axis, on_axis[0].index)
        self._reset(
            phase="ready",
            segment_id=opened.segment_id,
            axis=axis,
            range=with_keys(_whole(chosen), axis, on_axis) if axis and chosen else None,
            window=window,
            slice_count=opened.count(axis) if axis else 0,
            orientations=self._core.state.orientations,
            memory=self._core.state.memory,
        )
        opened.seconds = float(record.get("seconds", 0.0))
        self._core.say_prompts(message=_from_before(opened))
        self._review(opened)

    def _review(self, opened: Open) -> None:
        """What the engine still knows of the segment, if it was at hand before."""
        axis = self._core.state.axis
        if axis is None or opened.ready is None:
            return
        segment_id = opened.segment_id
        task = Task("trusts", lambda: lambda: opened.side.trusts(segment_id, axis))
        task.on_done = lambda slices: self._core.say(slices=slices)
        self._core.stepper.add(task)

    def _reset(self, **changes: Any) -> None:
        """Everything about a segment begins anew."""
        fresh: dict[str, Any] = {
            "phase": "idle", "segment_id": None, "message": None, "error": None, "progress": None, "axis": None,
            "slice_count": 0, "range": None, "slices": {}, "keyframes": (), "hand_drawn": (), "previewed": (),
            "outdated": False, "suggestion": None, "bank": None, "notices": (), "window": None,
            "can_undo": False, "can_redo": False,
        }  # fmt: skip
        self._core.say(**{**fresh, **changes})


def _from_before(opened: Open) -> Message | None:
    if opened.kept is None:
        return None
    return text("The segment's voxels from before are kept; what is found is added to them.")


def _pair(value: Any) -> tuple[Any, Any] | None:
    return (value[0], value[1]) if isinstance(value, (list, tuple)) and len(value) == 2 else None


def _whole(pair: tuple[Any, Any]) -> tuple[int, int]:
    return int(pair[0]), int(pair[1])
