"""The engine as the worker thread sees it: sessions, what they were told, what came of it. Plain results go out.

Every method belongs to the worker thread, and nothing of the scene is touched here.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from MedSAM2Lib.types import (
    Axis,
    BankView,
    BoolArray,
    Orientations,
    PropagationRequest,
    SliceKey,
    SliceResult,
    Suggestion,
    VolumeData,
    array_dimension,
)
from MedSAM2SlicerLib.session.answers import Gathered, Known, Previewed, Telling, Told, Tracked, Wanted
from MedSAM2SlicerLib.session.knowledge import KnowledgeStore
from MedSAM2SlicerLib.session.ports import (
    EngineChoice,
    EngineFactory,
    EngineSession,
    Foreseeing,
    Inspectable,
    ReadyEngine,
)
from MedSAM2SlicerLib.session.state import SliceTrust
from MedSAM2SlicerLib.session.telling import Teller

_SLAB = 16


class EngineSide:
    """An engine, one session of it on a volume, and the segments it knows.

    Args:
        factory: makes the engine when it is first needed.
        volume: the voxels.
    """

    def __init__(self, factory: EngineFactory, volume: VolumeData) -> None:
        self._factory = factory
        self._volume = volume
        self._choice: EngineChoice | None = None
        self._session: EngineSession | None = None
        self._known: dict[str, Known] = {}
        self.ready: ReadyEngine | None = None
        self.memories = KnowledgeStore()

    def open(self, choice: EngineChoice) -> ReadyEngine:
        """The engine for a choice, with a session; another choice than before begins anew."""
        if self.ready is None or self._session is None or choice != self._choice:
            self.close()
            self.ready = self._factory(choice)
            self._session = self.ready.engine.open(self._volume)
            self._choice = choice
        return self.ready

    def close(self) -> None:
        """Lets go of engine and session, so that their memory is free."""
        self.ready, self._session, self._choice = None, None, None
        self._known = {}
        self.memories.clear()

    def tell(self, telling: Telling) -> Told:
        """Brings the engine's prompts of a segment in line with those wanted; only changed slices are touched."""
        wanted = telling.wanted
        self.memories.retain({*telling.live, *telling.tokens})
        for token in telling.tokens:
            self.remember(token, wanted.segment_id)
        if telling.forget:
            self.forget(wanted.segment_id)
        return Teller(self.session, self._of(wanted)).tell(wanted.prompts)

    def preview(self, segment_id: str, key: SliceKey) -> Previewed:
        """The segment on a prompted slice. Raises PromptError where it has no prompt there."""
        start = time.perf_counter()
        result = self.session.preview(self._known[segment_id].object_id, key)
        mask = self._mask(result)
        return Previewed(key, mask, _trust(result, mask), time.perf_counter() - start)

    def was_asked(self, segment_id: str, axis: Axis, orientations: Orientations) -> bool:
        """Whether it has been propagated in this way before, so that only what changed since is computed."""
        known = self._known.get(segment_id)
        return known is not None and known.asked == (axis, orientations)

    def propagate(
        self, segment_id: str, axis: Axis, first: int, last: int, orientations: Orientations
    ) -> Iterator[Tracked]:
        """Slices ``first`` to ``last`` of ``axis``; only what is missing or outdated if they were asked for before."""
        known = self._known[segment_id]
        update = known.asked == (axis, orientations)
        known.asked = (axis, orientations)
        ids = [known.object_id]
        request = PropagationRequest(axis, ids, first, last, orientations=orientations, update=update)
        for result in self.session.propagate(request):
            mask = self._mask(result)
            remaining = self.session.remaining(ids) if isinstance(self.session, Foreseeing) else None
            yield Tracked(result.key, mask, _trust(result, mask), remaining)

    def gather(self, segment_id: str, axis: Axis, first: int, last: int) -> Gathered:
        """What holds of slices ``first`` to ``last`` of ``axis``."""
        shape = self._volume.array.shape
        box = [slice(0, size) for size in shape]
        box[array_dimension(axis)] = slice(first, last + 1)
        within = (box[0], box[1], box[2])
        sizes = tuple(one.stop - one.start for one in within)
        mask, disagreement = np.zeros(sizes, dtype=bool), np.zeros(sizes, dtype=np.uint8)
        object_id, first_k = self._known[segment_id].object_id, within[0].start
        for start in range(first_k, within[0].stop, _SLAB):
            end = min(start + _SLAB, within[0].stop)
            slab = self.session.fused(object_id, start, end - 1)
            place = slice(start - first_k, end - first_k)
            np.greater(slab.probability[:, within[1], within[2]], 0.5, out=mask[place])
            disagreement[place] = np.minimum(slab.disagreement[:, within[1], within[2]], 1.0) * 255
        return Gathered(within, mask, disagreement, self.trusts(segment_id, axis), self.notices(segment_id))

    def trusts(self, segment_id: str, axis: Axis) -> dict[SliceKey, SliceTrust]:
        """What the engine thinks of every slice of an axis that has a result."""
        known = self._known.get(segment_id)
        if known is None or self._session is None:
            return {}
        prompted = {one.slice for one in known.prompts}
        found = [one for one in self.session.results(known.object_id) if one.key.axis == axis]
        return {one.key: _trust(one, one.logits > 0, one.key in prompted) for one in found}

    def notices(self, segment_id: str) -> tuple[str, ...]:
        """Sentences on what the engine did and nobody asked for."""
        own = self.session.notices(self._known[segment_id].object_id) if isinstance(self.session, Inspectable) else []
        general = self.ready.notices() if self.ready is not None else ()
        return (*general, *own)

    def suggest(self, segment_id: str) -> Suggestion | None:
        """Where the next prompt helps most."""
        known = self._known.get(segment_id)
        if known is None or not isinstance(self._session, Inspectable):
            return None
        return self._session.suggest(known.object_id)

    def bank(self, segment_id: str, axis: Axis) -> BankView | None:
        """The memory of a segment along an axis."""
        known = self._known.get(segment_id)
        if known is None or not isinstance(self._session, Inspectable):
            return None
        return self._session.bank(known.object_id, axis)

    def remember(self, token: int, segment_id: str) -> None:
        """Keeps what is known of a segment now, under a token."""
        if self._session is not None:
            self.memories.keep(token, self._session, self._known.get(segment_id))

    def recall(self, token: int, segment_id: str) -> None:
        """Knows of a segment what it knew then; nothing where that was not kept, so that prompts give it anew."""
        if self._session is None:
            return
        known = self._known.get(segment_id)
        taken = self.memories.take(token, self._session, known)
        if taken is not None:
            self._known[segment_id] = taken
        elif known is not None:
            self._forget(known)

    def forget(self, segment_id: str) -> None:
        """The segment is no more."""
        known = self._known.pop(segment_id, None)
        if known is not None and self._session is not None:
            self._forget(known)

    @property
    def session(self) -> EngineSession:
        """The session; an engine must be open."""
        if self._session is None:
            raise RuntimeError("no engine is open")
        return self._session

    def _of(self, wanted: Wanted) -> Known:
        if wanted.segment_id not in self._known:
            self._known[wanted.segment_id] = Known(self.session.add_object(wanted.name))
        return self._known[wanted.segment_id]

    def _forget(self, known: Known) -> None:
        for key in dict.fromkeys(one.slice for one in known.prompts):
            self.session.clear_prompts(known.object_id, key)
        known.prompts, known.asked = [], None

    def _mask(self, result: SliceResult) -> BoolArray:
        return np.asarray(self.session.voxel_logits(result) > 0)


def _trust(result: SliceResult, mask: Any, kept: bool = False) -> SliceTrust:
    iou = min(max(float(result.predicted_iou), 0.0), 1.0)
    found = bool(mask.any()) and result.object_score > 0
    return SliceTrust(iou, float(result.object_score), found, kept or result.prompted)
