"""One persistent thread for everything that touches the engine: the plan cache of CUDA belongs to a thread.

Python collects cyclic garbage on whatever thread allocates, and objects of Qt and VTK that it finds must not end on
this one: that has crashed. While a job runs nothing is collected; the main thread takes it up again when it has seen
the job's end.
"""

from __future__ import annotations

import gc
import queue
import threading
from collections.abc import Callable
from typing import Any


class Job:
    """A call on its way: ``done`` is set when ``result`` or ``error`` holds what came of it.

    Args:
        work: what is called.
        seen: called on the main thread once it has seen the end.
    """

    def __init__(self, work: Callable[[], Any], seen: Callable[[], None] = lambda: None) -> None:
        self.done = threading.Event()
        self.result: Any = None
        self.error: BaseException | None = None
        self._work: Callable[[], Any] | None = work
        self._seen = seen

    def wait(self, seconds: float) -> bool:
        """On the main thread: whether it has ended, within so many seconds."""
        if not self.done.wait(seconds):
            return False
        self._seen()
        return True

    def run(self) -> None:
        """Calls the work and keeps what comes of it, an exception with its traceback included.

        One of the two places where any exception is caught: the thread must outlive whatever the engine does, and the
        session tells the user.
        """
        work, self._work = self._work, None
        try:
            if work is not None:
                self.result = work()
        except BaseException as error:  # noqa: BLE001
            self.error = error
        finally:
            self.done.set()


class Worker:
    """Runs jobs one after the other on one daemon thread, which starts with the first job.

    Args:
        name: of the thread, for debuggers.
    """

    def __init__(self, name: str = "MedSAM2 engine") -> None:
        self._name = name
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._running: list[Job] = []
        self._collects_again = False

    @property
    def alive(self) -> bool:
        """Whether the thread has started and not ended."""
        return self._thread is not None and self._thread.is_alive()

    def submit(self, work: Callable[[], Any]) -> Job:
        """Queues a call; returns at once. Raises RuntimeError after ``close``."""
        if self._closed:
            raise RuntimeError("the worker is closed")
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name=self._name, daemon=True)
            self._thread.start()
        job = Job(work, self._take_up_collecting)
        self._running.append(job)
        if gc.isenabled():
            gc.disable()
            self._collects_again = True
        self._jobs.put(job)
        return job

    def close(self, timeout: float = 5.0) -> bool:
        """Lets the job in hand end and then the thread; says whether it has ended within ``timeout`` seconds.

        A thread that has not is a daemon's: it does not keep the process alive.
        """
        self._closed = True
        if self._thread is None:
            return True
        self._jobs.put(None)
        self._thread.join(timeout)
        self._running.clear()
        self._take_up_collecting()
        return not self._thread.is_alive()

    def _take_up_collecting(self) -> None:
        self._running = [job for job in self._running if not job.done.is_set()]
        if self._collects_again and not self._running:
            self._collects_again = False
            gc.enable()

    def _serve(self) -> None:
        while True:
            job = self._jobs.get()
            if job is None:
                return
            job.run()
            # Without this the last job's result would be held until the next one comes.
            del job
