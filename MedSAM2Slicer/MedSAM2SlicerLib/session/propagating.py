"""Propagation: slices come one by one and are shown; what stands at the end, or when it is stopped, is committed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from MedSAM2Lib.errors import MedSAM2Error, PromptError
from MedSAM2Lib.types import Axis
from MedSAM2SlicerLib.session.answers import Gathered, Telling, Tracked
from MedSAM2SlicerLib.session.committing import Committing, Run
from MedSAM2SlicerLib.session.core import Core, Open, text
from MedSAM2SlicerLib.session.engine_side import EngineSide
from MedSAM2SlicerLib.session.estimates import network_steps
from MedSAM2SlicerLib.session.ports import EngineChoice, ReadyEngine
from MedSAM2SlicerLib.session.prompting import show_previews
from MedSAM2SlicerLib.session.ranges import default_range, with_keys
from MedSAM2SlicerLib.session.state import Progress
from MedSAM2SlicerLib.session.stepper import Task

PROPAGATE = "propagate"
GATHER = "gather"


class Propagating:
    """Starts, shows, stops and ends propagations.

    Args:
        core: shared with the other parts.
        committing: writes what was found.
    """

    def __init__(self, core: Core, committing: Committing) -> None:
        self._core = core
        self._committing = committing

    def start(self, label: str) -> None:
        """Propagates the segment at hand. Raises InputError where it has no prompt, or is locked, hidden or gone."""
        opened = self._core.opened()
        opened.parts.segments.check(opened.segment_id)
        run = self._run(opened, label)
        task = Task(PROPAGATE, lambda: self._prepare(opened, run))
        task.on_step = lambda tracked, seconds: self._step(opened, run, tracked, seconds)
        task.on_done = lambda _: self._end(opened, run, complete=True)
        task.on_dropped = lambda: self._end(opened, run, complete=False)
        task.on_error = lambda error: self._failed(opened, run, error)
        self._core.stepper.add(task)
        first = Progress(0, run.expected)
        self._core.say(
            phase="propagating", range=(run.first, run.last), axis=run.axis, progress=first, error=None, message=None
        )

    def stop(self) -> bool:
        """Computes no further slice; what is there is committed. Says whether one was under way."""
        return self._core.stepper.stop(PROPAGATE)

    def _run(self, opened: Open, label: str) -> Run:
        keys = opened.keyframes()
        if not keys:
            raise PromptError(
                "E_NO_PROMPT", "There is no prompt yet: click into the object, or draw a box around it, on any slice."
            )
        axis = self._axis(opened)
        on_axis = [key for key in keys if key.axis == axis]
        state = self._core.state
        same = state.axis == axis and state.range is not None
        chosen = state.range if same else default_range(opened.parts.volume, axis, on_axis[0].index)
        first, last = with_keys(chosen or (0, 0), axis, on_axis)
        expected = network_steps(axis, first, last, state.orientations, opened.extent, opened.shape)
        run = Run(self._core.step(label), axis, first, last, state.orientations, expected)
        run.computed = {key.index for key in opened.released if key.axis == axis and first <= key.index <= last}
        run.other_axes_prompted = any(key.axis != axis for key in (*keys, *opened.released))
        return run

    def _axis(self, opened: Open) -> Axis:
        """The session's axis if a prompt was made on it, else that of the latest prompt."""
        axes = [key.axis for key in opened.hand_drawn()] + [one.axis for one in opened.prompts().values()]
        chosen = self._core.state.axis
        return chosen if chosen is not None and chosen in axes else axes[-1]

    def _prepare(self, opened: Open, run: Run) -> Callable[[], Iterator[Tracked]]:
        opened.to_remember.append(run.step.token)
        telling, choice = opened.next_telling(), self._core.choice()

        def took(ready: ReadyEngine) -> None:
            opened.ready = ready

        return lambda: _begin(opened.side, choice, telling, run, took)

    def _step(self, opened: Open, run: Run, tracked: Tracked, seconds: float) -> None:
        run.count += 1
        run.seconds += seconds
        if not tracked.trust.kept:
            self._core.speed.note_step(seconds)
        if tracked.key.axis == run.axis:
            run.computed.add(tracked.key.index)
            opened.parts.preview.show_slice(tracked.key, tracked.mask)
        slices = {**self._core.state.slices, tracked.key: tracked.trust}
        self._core.say(
            progress=self._progress(run, tracked),
            slices={key: one for key, one in slices.items() if key.axis == run.axis},
            seconds_per_slice=self._core.speed.seconds_per_slice,
        )

    def _progress(self, run: Run, tracked: Tracked) -> Progress:
        """Where the engine says what remains, other orientations that are still to begin come on top."""
        ahead = max(0, run.expected - run.count)
        if tracked.remaining is not None:
            primary = run.last - run.first + 1
            others = max(0, run.expected - max(primary, run.count)) if tracked.key.axis == run.axis else 0
            ahead = tracked.remaining + (0 if run.update else others)
        pace = self._core.speed.seconds_per_slice or 0.0
        speed = 0.0 if run.seconds <= 0 else run.count / run.seconds
        return Progress(run.count, run.count + ahead, speed, ahead * pace)

    def _end(self, opened: Open, run: Run, complete: bool) -> None:
        run.complete = complete
        region = run.region
        if region is None:
            sentence = "Nothing had to be computed." if complete else "Stopped before the first slice."
            self._rest(opened, sentence)
            return
        task = Task(GATHER, lambda: lambda: opened.side.gather(run.step.segment_id, run.axis, *region))
        task.on_done = lambda gathered: self._gathered(opened, run, gathered)
        task.on_error = lambda error: self._failed(opened, run, error)
        self._core.stepper.add_next(task)

    def _gathered(self, opened: Open, run: Run, gathered: Gathered) -> None:
        self._committing.take(opened, run, gathered)

    def _rest(self, opened: Open, sentence: str) -> None:
        show_previews(opened)
        self._core.say(progress=None, phase=self._core.rest_phase(), message=text(sentence))

    def _failed(self, opened: Open, run: Run, error: BaseException) -> None:
        """What an expected failure (no memory left) has let pass is committed; after any other nothing is."""
        expected = isinstance(error, MedSAM2Error) and not isinstance(error, PromptError)
        if expected and run.computed and not run.complete:
            self._end(opened, run, complete=False)
            self._core.stepper.then(lambda: self._core.fail(error))
            return
        self._core.lose_engine(error)
        show_previews(opened)
        self._core.fail(error, progress=None, phase=self._core.rest_phase())


def _begin(
    side: EngineSide, choice: EngineChoice, telling: Telling, run: Run, took: Callable[[ReadyEngine], None]
) -> Iterator[Tracked]:
    """On the worker: the engine knows all prompts, and slices come as they are asked for."""
    start = time.perf_counter()
    took(side.open(choice))
    side.tell(telling)
    segment_id = telling.wanted.segment_id
    run.update = side.was_asked(segment_id, run.axis, run.orientations)
    run.seconds += time.perf_counter() - start
    return side.propagate(segment_id, run.axis, run.first, run.last, run.orientations)
