"""The prompts of a segmentation's segments, as Markups in the scene.

What the store holds and what the scene shows are one: prompts are saved with the scene, can be dragged and deleted
there, and the store tells its owner when that happens.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from MedSAM2Lib.errors import PromptError
from MedSAM2Lib.types import BoxPrompt, PointPrompt, Prompt, SliceKey
from MedSAM2SlicerLib.scene.keyframes import Keyframes, MaskKeyframes
from MedSAM2SlicerLib.scene.nodes import require
from MedSAM2SlicerLib.scene.prompt_geometry import DrawnPrompt, rounded
from MedSAM2SlicerLib.scene.prompt_marks import Known, PromptMarks
from MedSAM2SlicerLib.scene.segments import require_segment, segment_ids


@dataclass(frozen=True)
class PromptSnapshot:
    """All prompts (prompt id, segment id, prompt) and mask keyframes of a segmentation at one moment."""

    prompts: tuple[tuple[str, str, DrawnPrompt], ...]
    keyframes: Keyframes


class PromptStore:
    """Prompts by segment, drawn in the scene.

    ``changed`` is called with a segment's id when somebody moved, placed or deleted one of its prompts in the scene, at
    the end of a drag; never for what the store itself did. Once the segmentation or the volume was deleted there are no
    prompts, writing raises InputError ``E_NODE_GONE``, and nothing is called any more.
    """

    def __init__(self, scene: Any, volume_node: Any, segmentation_node: Any) -> None:
        self.changed: Callable[[str], None] | None = None
        self._volume = require(volume_node, "volume")
        self._segmentation = require(segmentation_node, "segmentation")
        self._keyframes = MaskKeyframes(segmentation_node, volume_node)
        self._known: Known = {}
        self._marks = PromptMarks(scene, volume_node, segmentation_node, self._synchronize, self._redraw)
        self._known = self._marks.read(1)

    def add(self, segment_id: str, prompt: Prompt) -> str:
        """Draws a prompt, at voxel centres, and returns its id.

        Raises InputError ``E_NO_SEGMENT`` or ``E_NODE_GONE``, and PromptError ``E_PROMPT_KIND`` for a mask: that is a
        keyframe.
        """
        require(self._volume, "volume")
        require_segment(self._segmentation, segment_id)
        if not isinstance(prompt, (PointPrompt, BoxPrompt)):
            raise PromptError("E_PROMPT_KIND", "A mask is no mark in the scene: set its slice as a keyframe.")
        prompt_id = f"p{self._next_number()}"
        self._draw(prompt_id, segment_id, rounded(prompt))
        return prompt_id

    def remove(self, prompt_id: str) -> None:
        """Takes a prompt away; nothing happens where it is already gone."""
        if self._known.pop(prompt_id, None) is not None:
            self._marks.erase(prompt_id)

    def clear(self, segment_id: str) -> None:
        """Takes all prompts and mask keyframes of a segment away."""
        for prompt_id in self.prompts(segment_id):
            self.remove(prompt_id)
        self._keyframes.clear(segment_id)

    def prompts(self, segment_id: str) -> dict[str, Prompt]:
        """The segment's prompts by id, in the order they were made."""
        if not self._marks.usable:
            return {}
        mine = {key: prompt for key, (segment, prompt) in self._known.items() if segment == segment_id}
        return {key: mine[key] for key in sorted(mine, key=_number)}

    def segment_of(self, prompt_id: str) -> str | None:
        """Whose prompt it is; None where it is gone."""
        known = self._known.get(prompt_id)
        return known[0] if known and self._marks.usable else None

    def set_active_segment(self, segment_id: str | None) -> None:
        """Shows the prompts of this segment only; none for None."""
        self._marks.show(lambda each: each == segment_id)

    def set_mask_keyframe(self, segment_id: str, key: SliceKey) -> None:
        """Remembers that the segment's mask on a slice is the user's."""
        require_segment(self._segmentation, segment_id)
        self._keyframes.add(segment_id, key)

    def mask_keyframes(self, segment_id: str) -> list[SliceKey]:
        """The slices whose mask is the user's, by axis and index."""
        return self._keyframes.of(segment_id)

    def drop_mask_keyframe(self, segment_id: str, key: SliceKey) -> None:
        """Forgets that a mask is the user's."""
        self._keyframes.drop(segment_id, key)

    def snapshot(self) -> PromptSnapshot:
        """What there is now, for ``restore``."""
        prompts = tuple((key, *self._known[key]) for key in sorted(self._known, key=_number))
        return PromptSnapshot(prompts, self._keyframes.snapshot())

    def restore(self, snapshot: PromptSnapshot) -> None:
        """Makes prompts and keyframes what they were, ids included. Prompts of segments that are gone stay away."""
        require(self._volume, "volume")
        living = segment_ids(require(self._segmentation, "segmentation"))
        wanted = {key: (segment, prompt) for key, segment, prompt in snapshot.prompts if segment in living}
        for prompt_id, known in list(self._known.items()):
            if wanted.get(prompt_id) != known:
                self.remove(prompt_id)
        for prompt_id, (segment_id, prompt) in wanted.items():
            if prompt_id not in self._known:
                self._draw(prompt_id, segment_id, prompt)
        self._keyframes.restore(snapshot.keyframes)

    def close(self, remove: bool = False) -> None:
        """Stops watching; ``remove`` takes the marks out of the scene. May be called twice, and after a scene's end."""
        self._marks.close(remove)
        self._known.clear()

    def _draw(self, prompt_id: str, segment_id: str, prompt: DrawnPrompt) -> None:
        self._marks.draw(prompt_id, segment_id, prompt)
        self._known[prompt_id] = (segment_id, prompt)

    def _synchronize(self) -> None:
        """Takes over what changed in the scene, and tells whose prompts did."""
        before, self._known = self._known, self._marks.read(self._next_number())
        self._marks.snap()
        all_known = {**before, **self._known}
        differing = [key for key in all_known if before.get(key) != self._known.get(key)]
        for segment_id in dict.fromkeys(all_known[key][0] for key in differing):
            if self.changed is not None:
                self.changed(segment_id)

    def _redraw(self) -> None:
        """Draws all prompts anew at their voxels."""
        known = dict(self._known)
        for prompt_id in known:
            self.remove(prompt_id)
        for prompt_id, (segment_id, prompt) in known.items():
            if segment_id in segment_ids(self._segmentation):
                self._draw(prompt_id, segment_id, prompt)
        self._keyframes.regrid()

    def _next_number(self) -> int:
        return max(map(_number, self._known), default=0) + 1


def _number(prompt_id: str) -> int:
    digits = prompt_id[1:]
    return int(digits) if digits.isdigit() else 0
