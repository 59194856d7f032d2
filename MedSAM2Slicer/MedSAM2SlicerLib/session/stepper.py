"""Tasks for the worker, one step at a time, and their results on the main thread.

The main thread polls with a zero timer while something is pending; each poll waits at most ``POLL_SECONDS`` on the
step's event. That wait lets go of the GIL, which an idling event loop of Slicer does not, so that the worker runs at
97 % of its speed (2 % under a timer that merely looks).
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Union

from MedSAM2Lib.errors import MedSAM2Error
from MedSAM2SlicerLib.session.ports import Ticker
from MedSAM2SlicerLib.session.worker import Job, Worker

POLL_SECONDS = 0.015
_END = object()


def nothing(*_: Any) -> None:
    """Does nothing with whatever it is given."""


@dataclass
class Task:
    """Work for the worker and what the main thread does with it.

    ``prepare`` is called on the main thread when the task's turn has come, and returns what the worker calls. Where
    that returns an iterator, each of its items is a step of its own. ``on_step`` gets each item and its seconds,
    ``on_done`` what a plain call returned (None after an iterator), ``on_error`` an exception, and ``on_dropped`` is
    called instead of ``on_done`` where the task was stopped before its end.
    """

    name: str
    prepare: Callable[[], Callable[[], Any]]
    on_step: Callable[[Any, float], None] = nothing
    on_done: Callable[[Any], None] = nothing
    on_error: Callable[[BaseException], None] = nothing
    on_dropped: Callable[[], None] = nothing
    steps: Iterator[Any] | None = field(default=None, init=False)
    stopped: bool = field(default=False, init=False)
    started: float = field(default=0.0, init=False)


@dataclass
class _Call:
    """Something for the main thread alone, in its turn."""

    call: Callable[[], object]


class Stepper:
    """Runs tasks in their order; all its methods belong to the main thread.

    Args:
        worker: where the work is done.
        ticker: calls ``poll`` again and again while something is pending.
    """

    def __init__(self, worker: Worker, ticker: Ticker) -> None:
        self._worker = worker
        self._ticker = ticker
        self._queue: deque[Union[Task, _Call]] = deque()
        self._current: Task | None = None
        self._job: Job | None = None
        self._ticking = False
        self._polling = False

    @property
    def busy(self) -> bool:
        """Whether a task is under way or waits."""
        return self._current is not None or self._job is not None or bool(self._queue)

    @property
    def current(self) -> str | None:
        """Name of the task under way."""
        return None if self._current is None else self._current.name

    def waiting(self, name: str) -> bool:
        """Whether a task of that name has not begun yet."""
        return any(isinstance(one, Task) and one.name == name for one in self._queue)

    def add(self, task: Task) -> None:
        """Queues a task, and starts polling."""
        self._queue.append(task)
        self._start_ticking()

    def add_next(self, task: Task) -> None:
        """Queues a task before all others that wait."""
        self._queue.appendleft(task)
        self._start_ticking()

    def then(self, call: Callable[[], object]) -> None:
        """Calls at once if nothing is pending, else after all that is."""
        if self.busy:
            self._queue.append(_Call(call))
        else:
            call()

    def stop(self, name: str) -> bool:
        """Asks for no further step of the task of that name; says whether it was under way or waiting.

        Its ``on_dropped`` is called when the step in hand has ended; that step's result still arrives.
        """
        found = False
        for task in [self._current, *self._queue]:
            if isinstance(task, Task) and task.name == name:
                task.stopped = found = True
        return found

    def cancel(self) -> None:
        """Drops everything at once: nothing that was asked for arrives any more, the step in hand included."""
        self._queue.clear()
        self._current = None

    def poll(self) -> None:
        """One look: waits a moment for the step in hand, takes its result, asks for the next.

        Does nothing when called from what one of its own calls has led to.
        """
        if self._polling:
            return
        self._polling = True
        try:
            self._look()
        finally:
            self._polling = False

    def _look(self) -> None:
        if self._job is not None and self._job.wait(POLL_SECONDS):
            job, self._job = self._job, None
            self._take(job)
        if self._job is None:
            self._next()
        if not self.busy:
            self._stop_ticking()

    def drain(self, timeout: float) -> bool:
        """Polls until nothing is pending, at most ``timeout`` seconds; says whether it got there."""
        deadline = time.monotonic() + timeout
        while self.busy and not self._polling and time.monotonic() < deadline:
            self.poll()
        return not self.busy

    def close(self, timeout: float = 5.0) -> bool:
        """Drops everything and ends the worker; says whether its thread has ended."""
        self.cancel()
        self._stop_ticking()
        return self._worker.close(timeout)

    def _take(self, job: Job) -> None:
        task = self._current
        if task is None:
            return
        if job.error is not None:
            self._current = None
            task.on_error(job.error)
        elif job.result is _END:
            self._current = None
            task.on_done(None)
        elif task.steps is None:
            self._current = None
            (task.on_dropped if task.stopped else lambda: task.on_done(job.result))()
        elif job.result is not task.steps:
            task.on_step(job.result, time.perf_counter() - task.started)

    def _next(self) -> None:
        if self._current is not None and self._current.stopped:
            task, self._current = self._current, None
            task.on_dropped()
        if self._current is not None:
            self._ask(self._current)
            return
        while self._queue and self._current is None:
            following = self._queue.popleft()
            if isinstance(following, _Call):
                following.call()
            elif following.stopped:
                following.on_dropped()
            else:
                self._begin(following)

    def _begin(self, task: Task) -> None:
        try:
            work = task.prepare()
        except MedSAM2Error as error:
            task.on_error(error)
            return
        self._current = task
        self._job = self._worker.submit(_begun(task, work))

    def _ask(self, task: Task) -> None:
        steps = task.steps
        if steps is not None:
            task.started = time.perf_counter()
            self._job = self._worker.submit(lambda: next(steps, _END))

    def _start_ticking(self) -> None:
        if not self._ticking:
            self._ticking = True
            self._ticker.start(self.poll)

    def _stop_ticking(self) -> None:
        if self._ticking:
            self._ticking = False
            self._ticker.stop()


def _begun(task: Task, work: Callable[[], Any]) -> Callable[[], Any]:
    def begun() -> Any:
        result = work()
        if isinstance(result, Iterator):
            task.steps = result
        return result

    return begun
