"""Prompts: taken from the user, kept in the scene, told to the engine, and shown as a preview of their slice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from MedSAM2Lib.errors import PromptError
from MedSAM2Lib.types import Prompt, SliceKey
from MedSAM2SlicerLib.session.answers import Previewed, Telling, Told
from MedSAM2SlicerLib.session.core import Core, Open, text
from MedSAM2SlicerLib.session.engine_side import EngineSide
from MedSAM2SlicerLib.session.estimates import Extent
from MedSAM2SlicerLib.session.history import Step
from MedSAM2SlicerLib.session.ports import EngineChoice, ReadyEngine
from MedSAM2SlicerLib.session.ranges import default_range, with_keys
from MedSAM2SlicerLib.session.stepper import Task

PREVIEW = "preview"


@dataclass(frozen=True, eq=False)
class _Answer:
    """What the worker hands back: the engine, what became of the prompts, the previews, and what spoke against one."""

    ready: ReadyEngine
    told: Told
    previews: tuple[Previewed, ...]
    error: PromptError | None


class Prompting:
    """Adds, removes and follows prompts.

    Args:
        core: shared with the other parts.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self._seen: set[tuple[int, SliceKey]] = set()

    def add(self, prompt: Prompt, label: str) -> str:
        """A prompt of the segment at hand, and its preview; returns its id. Raises PromptError for one that is none."""
        opened = self._core.opened()
        opened.parts.segments.check(opened.segment_id)
        step = self._core.step(label)
        self._begin_with(opened, prompt)
        prompt_id = opened.parts.prompts.add(opened.segment_id, prompt)
        opened.parts.prompts.drop_mask_keyframe(opened.segment_id, prompt.slice)
        self._changed(opened, step, [prompt.slice])
        return prompt_id

    def remove(self, prompt_id: str, label: str) -> None:
        """Takes a prompt away; its slice is previewed anew from what is left on it."""
        opened = self._core.opened()
        prompt = opened.prompts().get(prompt_id)
        if prompt is None:
            return
        step = self._core.step(label)
        opened.parts.prompts.remove(prompt_id)
        self._changed(opened, step, [prompt.slice])

    def clear(self, label: str) -> None:
        """Takes all prompts and keyframes of the segment at hand away."""
        opened = self._core.opened()
        keys = opened.keyframes()
        if keys:
            step = self._core.step(label)
            opened.parts.prompts.clear(opened.segment_id)
            self._changed(opened, step, keys)

    def moved(self, segment_id: str, label: str) -> None:
        """The user moved, added or deleted prompts in the scene."""
        opened = self._core.opened()
        before = opened.snapshot
        if segment_id != opened.segment_id:
            opened.snapshot = opened.parts.prompts.snapshot()
            return
        old, new = opened.known_prompts, opened.prompts()
        changed = [old[key] for key in old if new.get(key) != old[key]]
        changed += [new[key] for key in new if old.get(key) != new[key]]
        if not changed:
            return
        for prompt in new.values():
            self._begin_with(opened, prompt)
        self._changed(opened, self._core.step(label, before), [prompt.slice for prompt in changed])

    def preview(self, keys: list[SliceKey] | tuple[SliceKey, ...], tokens: list[int]) -> None:
        """Asks the engine for slices; what is asked before the engine has come to it goes in together."""
        opened = self._core.opened()
        opened.to_preview = list(dict.fromkeys((*opened.to_preview, *keys)))
        opened.to_remember += tokens
        if not self._core.stepper.waiting(PREVIEW):
            task = Task(PREVIEW, lambda: self._prepare(opened), on_error=self._failed)
            task.on_done = lambda answer: self._show(opened, answer)
            self._core.stepper.add(task)
        self._core.say_prompts(phase="encoding", error=None)

    def _begin_with(self, opened: Open, prompt: Prompt) -> None:
        """The first prompt gives axis, range and window; each further one may widen the range."""
        state, key = self._core.state, prompt.slice
        axis = state.axis or prompt.axis
        chosen = state.range or default_range(opened.parts.volume, axis, key.index)
        window = state.window or opened.parts.first_window(prompt)
        self._core.say(axis=axis, range=with_keys(chosen, axis, [key]), window=window, slice_count=opened.count(axis))

    def _changed(self, opened: Open, step: Step, keys: list[SliceKey] | tuple[SliceKey, ...]) -> None:
        opened.history.push(step)
        for key in keys:
            opened.previews.pop(key, None)
        self._core.say(message=None, outdated=bool(self._core.state.slices))
        self.preview(keys, [step.token])

    def _prepare(self, opened: Open) -> Callable[[], _Answer]:
        keys, opened.to_preview = opened.to_preview, []
        told, choice = opened.next_telling(), self._core.choice()
        return lambda: _ask(opened.side, choice, told, keys)

    def _show(self, opened: Open, answer: _Answer) -> None:
        opened.ready = answer.ready
        for one in answer.previews:
            opened.previews[one.key] = one.mask
            opened.extent = opened.extent.joined(Extent.of_slice(one.key, one.mask))
            opened.seconds += one.seconds
            self._note(opened, one)
        show_previews(opened)
        error = self._tidy(opened, answer.told) or answer.error
        still = self._core.stepper.waiting(PREVIEW)
        self._core.say_prompts(
            phase="encoding" if still else self._core.rest_phase(),
            device=answer.ready.device,
            seconds_per_slice=self._core.speed.seconds_per_slice,
        )
        self._core.judge()
        if error is not None:
            self._core.fail(error)

    def _note(self, opened: Open, one: Previewed) -> None:
        """The first look at a slice encodes it, which is what a propagation pays for too."""
        seen = (id(opened.side), one.key)
        if seen not in self._seen:
            self._seen.add(seen)
            self._core.speed.note_preview(one.seconds)

    def _tidy(self, opened: Open, told: Told) -> PromptError | None:
        """Prompts that no longer hold leave the scene; says why one did not fit."""
        gone = [*told.replaced, *(prompt for prompt, _ in told.rejected)]
        for prompt_id, prompt in opened.prompts().items():
            if any(prompt == one for one in gone):
                opened.parts.prompts.remove(prompt_id)
        if told.replaced:
            self._core.say(message=text("The new prompt replaces {count} on its slice.", count=len(told.replaced)))
        return told.rejected[0][1] if told.rejected else None

    def _failed(self, error: BaseException) -> None:
        """The engine could not do it: prompts stay, and the next one begins anew."""
        self._core.lose_engine(error)
        self._core.fail(error, phase=self._core.rest_phase())


def show_previews(opened: Open) -> None:
    """The preview layer shows what has been previewed and not committed, and nothing else."""
    opened.parts.preview.clear()
    for key, mask in opened.previews.items():
        opened.parts.preview.show_slice(key, mask)


def _ask(side: EngineSide, choice: EngineChoice, telling: Telling, keys: list[SliceKey]) -> _Answer:
    """On the worker: what the engine says of prompted slices."""
    ready = side.open(choice)
    told = side.tell(telling)
    wanted = telling.wanted
    gone = [*told.replaced, *(prompt for prompt, _ in told.rejected)]
    prompted = {one.slice for one in wanted.prompts if not any(one is other for other in gone)}
    previews: list[Previewed] = []
    try:
        previews.extend(side.preview(wanted.segment_id, key) for key in keys if key in prompted)
    except PromptError as error:
        return _Answer(ready, told, tuple(previews), error)
    return _Answer(ready, told, tuple(previews), None)
