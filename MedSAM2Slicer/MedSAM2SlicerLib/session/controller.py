"""One session: what the user does comes in here, and what it leads to goes out as a state. Main thread only."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from MedSAM2Lib.errors import InputError, MedSAM2Error
from MedSAM2Lib.types import IJK, Axis, BoolArray, BoxPrompt, Orientations, PointPrompt, Prompt, SliceKey
from MedSAM2SlicerLib.session.committing import Committing
from MedSAM2SlicerLib.session.core import Core, Observer, text
from MedSAM2SlicerLib.session.corrections import Corrections
from MedSAM2SlicerLib.session.estimates import SpeedBook, estimate
from MedSAM2SlicerLib.session.opening import Opening
from MedSAM2SlicerLib.session.ports import Box, EngineFactory, Node, Scene, Ticker
from MedSAM2SlicerLib.session.prompting import Prompting
from MedSAM2SlicerLib.session.propagating import PROPAGATE, Propagating
from MedSAM2SlicerLib.session.ranges import clamped, with_keys
from MedSAM2SlicerLib.session.reviewing import Reviewing
from MedSAM2SlicerLib.session.state import Estimate, SessionState
from MedSAM2SlicerLib.session.undoing import Undoing
from MedSAM2SlicerLib.session.worker import Worker

SETTLE_SECONDS = 30.0


class SessionController:
    """Segments of one volume and segmentation at a time, one of them at hand.

    Whatever goes wrong arrives in the state as an error; methods raise nothing. While a propagation runs, whatever
    changes prompts stops it first: what it has found is then committed.

    Args:
        engine_factory: makes an engine; called on the worker thread.
        scene: opens the scene's objects for a volume and a segmentation.
        ticker: polls while the engine is at work.
        observer: gets every new state.
        model: name of the model that the factory is asked for.
        stored_seconds: seconds per slice of earlier sessions, for estimates before the first step.
        worker: the engine's thread; one of its own by default.
    """

    def __init__(
        self,
        engine_factory: EngineFactory,
        scene: Scene,
        ticker: Ticker,
        observer: Observer = lambda state: None,
        model: str = "embedded",
        stored_seconds: float | None = None,
        worker: Worker | None = None,
    ) -> None:
        speed = SpeedBook(stored_seconds)
        self._core = Core(engine_factory, worker or Worker(), ticker, observer, model, speed)
        self._prompting = Prompting(self._core)
        self._undoing = Undoing(self._core, self._prompting)
        self._corrections = Corrections(self._core, self._undoing.follow)
        self._committing = Committing(self._core, self._corrections.take_up)
        self._propagating = Propagating(self._core, self._committing)
        self._reviewing = Reviewing(self._core)
        self._opening = Opening(self._core, scene, self._on_prompts, self._corrections.edited, self._on_saving)

    @property
    def state(self) -> SessionState:
        """What is shown now."""
        return self._core.state

    @property
    def busy(self) -> bool:
        """Whether anything is pending."""
        return self._core.stepper.busy

    def open(self, volume_node: Node, segmentation_node: Node, segment_id: str) -> None:
        """Takes a segment at hand, once what was previewed or propagated of the one before is committed."""
        self.settle("before the segment was changed")
        self._core.stepper.then(lambda: self._guarded(self._opening.open, volume_node, segmentation_node, segment_id))

    def add_point(self, ijk: IJK, axis: Axis, positive: bool = True) -> None:
        """A click at voxel coordinates, on the slice of ``axis`` through it."""
        self._add(lambda: PointPrompt(ijk, axis, positive), "Add a point")

    def add_box(self, first: IJK, last: IJK, axis: Axis) -> None:
        """A box by two opposite voxel corners, inclusive, on the slice of ``axis`` through them."""
        self._add(lambda: BoxPrompt(first, last, axis), "Draw a box")

    def remove_prompt(self, prompt_id: str) -> None:
        """Takes a point or a box away."""
        self._when_stopped(lambda: self._changing(lambda: self._prompting.remove(prompt_id, "Remove a prompt")))

    def clear_prompts(self) -> None:
        """Takes all prompts of the segment at hand away; its voxels stay."""
        self._when_stopped(lambda: self._changing(lambda: self._prompting.clear("Remove all prompts")))

    def propagate(self) -> None:
        """Enter: grows the object through the volume, and commits what is found."""
        if self.state.phase != "propagating":
            self._changing(lambda: self._propagating.start("Propagate"))

    def stop(self) -> bool:
        """Esc: computes no further slice and commits what is there. Says whether a propagation was under way."""
        return self._propagating.stop()

    def accept_slice(self, key: SliceKey | None = None) -> None:
        """Shift+Enter: commits one previewed slice, the latest if none is named; or what a refused commit left."""
        self._guarded(self._accept, key)

    def undo(self) -> bool:
        """One step back; False where there is none, or while a propagation runs."""
        return self._back_or_forth(self._undoing.undo)

    def redo(self) -> bool:
        """One step forward again; False where there is none, or while a propagation runs."""
        return self._back_or_forth(self._undoing.redo)

    def draw_slice(self, key: SliceKey, mask: BoolArray) -> None:
        """Writes a mask [rows, columns] into a slice of the segment, and keeps it as drawn by hand."""
        self._when_stopped(lambda: self._changing(lambda: self._corrections.draw(key, mask, "Draw a slice")))

    def look_at_edits(self) -> None:
        """Takes up what was drawn by hand since the last look; for moments when the user pauses."""
        if self._core.open is not None and self.state.phase != "propagating":
            self._guarded(self._corrections.take_up, "Draw by hand")

    def release_keyframes(self, keys: tuple[SliceKey, ...] | None = None) -> None:
        """Slices drawn by hand, all or some, may be computed again."""
        self._when_stopped(lambda: self._changing(lambda: self._corrections.release(keys, "Release drawn slices")))

    def set_range(self, first: int, last: int) -> None:
        """Slices to propagate over, inclusive, along the session's axis; widened to hold every prompt."""
        opened, axis = self._core.open, self.state.axis
        if opened is not None and axis is not None:
            wanted = clamped(first, last, opened.count(axis))
            self._core.say(range=with_keys(wanted, axis, opened.keyframes()))

    def whole_volume(self) -> None:
        """The range is all slices of the session's axis."""
        self.set_range(0, self.state.slice_count - 1)

    def set_orientations(self, orientations: Orientations) -> None:
        """How many axes look at the object, from the next propagation on."""
        self._core.say(orientations=orientations)

    def set_memory(self, memory: str) -> None:
        """The kind of memory; the engine begins anew with the next prompt or propagation."""
        self._core.say(memory=memory)

    def set_model(self, model: str) -> None:
        """The model; the engine begins anew with the next prompt or propagation."""
        self._core.say(model=model)

    def set_window(self, low: float, high: float) -> None:
        """Grey values shown to the engine as black and white; it begins anew."""
        self._core.say(window=(low, high), outdated=bool(self.state.slices))

    def use_current_window(self) -> None:
        """The window that the volume is displayed with now."""
        opened = self._core.open
        window = None if opened is None else opened.parts.window()
        if window is not None:
            self.set_window(*window)

    def estimates(self) -> tuple[Estimate, ...]:
        """What propagations take: over the whole axis, and over the range if that is less. Empty before a prompt."""
        opened, state = self._core.open, self.state
        if opened is None or state.axis is None or state.range is None:
            return ()
        whole = (0, opened.count(state.axis) - 1)
        ranges = [whole] if state.range == whole else [whole, state.range]
        rest = (state.orientations, opened.extent, opened.shape, self._core.speed)
        return tuple(estimate(state.axis, first, last, *rest) for first, last in ranges)

    def next_doubtful(self, after: int | None = None) -> SliceKey | None:
        """The next slice above index ``after`` that the engine doubts."""
        return self._reviewing.next_doubtful(after)

    def suggest(self) -> None:
        """Asks where the next prompt helps most; comes as ``state.suggestion``."""
        self._guarded(self._reviewing.suggest)

    def look_at_bank(self, axis: Axis) -> None:
        """Asks what the memory along an axis holds; comes as ``state.bank``."""
        self._guarded(self._reviewing.bank, axis)

    def disagreement(self) -> tuple[Box, NDArray[np.uint8]] | None:
        """Where the orientations of the last propagation disagree, 0 to 255, and the part of the volume it is of."""
        return None if self._core.open is None else self._reviewing.disagreement()

    def settle(self, reason: str, wait: bool = False) -> bool:
        """Stops a propagation and commits all that is previewed, before something that needs it in the segmentation.

        Args:
            reason: why, for the message: "before the scene was saved".
            wait: returns only when all is committed, or after 30 seconds.

        Returns:
            Whether nothing is pending any more.
        """
        if self._core.open is None:
            return True
        self.stop()
        if wait:
            self._core.stepper.drain(SETTLE_SECONDS)
        self._core.stepper.then(lambda: self._guarded(self._commit_all, reason))
        return not self.busy

    def leave(self) -> None:
        """The module is left: what is previewed is committed, and a propagation stopped."""
        self.settle("when the module was left")

    def drop(self, sentence: str | None = None) -> None:
        """Scene closed, or volume or segmentation gone: nothing is committed, and nothing of it is held any more."""
        self._opening.drop(sentence)

    def segment_gone(self, segment_id: str) -> None:
        """A segment was deleted: its prompts go too; if it is the one at hand, the session is idle."""
        self._opening.segment_gone(segment_id)

    def poll(self) -> None:
        """One look at the worker; the ticker's callback does the same."""
        self._core.stepper.poll()

    def close(self, timeout: float = 5.0) -> bool:
        """Ends the session and its thread; says whether the thread has ended within ``timeout`` seconds."""
        self.drop()
        return self._core.stepper.close(timeout)

    def _add(self, prompt: Callable[[], Prompt], label: str) -> None:
        self._when_stopped(lambda: self._changing(lambda: self._prompting.add(prompt(), label)))

    def _on_prompts(self, segment_id: str) -> None:
        self._when_stopped(lambda: self._changing(lambda: self._prompting.moved(segment_id, "Move a prompt")))

    def _on_saving(self) -> None:
        self.settle("before the scene was saved", wait=True)

    def _accept(self, key: SliceKey | None) -> None:
        opened = self._core.opened()
        if opened.unsaved is not None:
            opened.unsaved()
            return
        keys = [key] if key is not None else list(opened.previews)[-1:]
        changed = self._committing.accept(keys, "Accept a slice")
        self._core.say_prompts(
            phase=self._core.rest_phase(), error=None, message=text("{changed} voxels changed.", changed=changed)
        )

    def _commit_all(self, reason: str) -> None:
        opened = self._core.open
        if opened is None:
            return
        self._corrections.take_up("Draw by hand")
        if opened.unsaved is not None:
            opened.unsaved()
        if opened.previews:
            self._committing.accept(list(opened.previews), "Accept the preview")
            sentence = text("The preview was put into the segment {reason}.", reason=reason)
            self._core.say_prompts(phase=self._core.rest_phase(), message=sentence)

    def _back_or_forth(self, move: Callable[[], bool]) -> bool:
        if self._core.open is None or self.state.phase == "propagating":
            return False
        done = self._guarded(lambda: (self._corrections.take_up("Draw by hand"), move())[1])
        return bool(done)

    def _when_stopped(self, call: Callable[[], None]) -> None:
        """At once, or after a propagation under way has been stopped and committed."""
        if self._core.stepper.stop(PROPAGATE) or self.state.phase == "propagating":
            self._core.stepper.then(call)
        else:
            call()

    def _changing(self, call: Callable[[], object]) -> None:
        """Something is about to change prompts or masks: what was drawn by hand before that comes first."""
        self._guarded(lambda: (self._corrections.take_up("Draw by hand"), call()))

    def _guarded(self, call: Callable[..., object], *args: object) -> object:
        try:
            return call(*args)
        except (MedSAM2Error, InputError) as error:
            self._core.fail(error, phase=self._core.rest_phase() if not self.busy else self.state.phase)
            return None
