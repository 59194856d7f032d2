"""The engine's thread: one, one job at a time, results on the main thread, and a poll that never waits long."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from MedSAM2SlicerLib.session.stepper import POLL_SECONDS, Stepper, Task
from MedSAM2SlicerLib.session.tickers import LoopTicker
from MedSAM2SlicerLib.session.worker import Worker


class Log:
    """What has arrived, and on which threads things were done."""

    def __init__(self) -> None:
        self.said: list[object] = []
        self.threads: set[int] = set()

    def task(self, name: str, work: Callable[[], Any]) -> Task:
        def noted() -> Any:
            self.threads.add(threading.get_ident())
            return work()

        return Task(
            name,
            lambda: noted,
            on_step=lambda item, seconds: self.said.append((name, item)),
            on_done=lambda result: self.said.append((name, "done", result)),
            on_error=lambda error: self.said.append((name, "error", str(error))),
            on_dropped=lambda: self.said.append((name, "dropped")),
        )


@pytest.fixture
def ticker() -> LoopTicker:
    return LoopTicker()


@pytest.fixture
def stepper(ticker: LoopTicker) -> Iterator[Stepper]:
    made = Stepper(Worker(), ticker)
    yield made
    assert made.close(10.0)


def counted(upto: int, log: Log) -> Callable[[], Iterator[int]]:
    def steps() -> Iterator[int]:
        for number in range(upto):
            log.threads.add(threading.get_ident())
            yield number

    return steps


def test_all_work_is_done_by_one_thread_that_is_not_the_main_one(stepper: Stepper, ticker: LoopTicker) -> None:
    log = Log()
    for number in range(20):
        stepper.add(log.task(str(number), counted(3, log)))
    assert ticker.run(10.0)
    assert len(log.threads) == 1
    assert threading.get_ident() not in log.threads
    assert [entry for entry in log.said if isinstance(entry, tuple) and entry[0] == "7"] == [
        ("7", 0),
        ("7", 1),
        ("7", 2),
        ("7", "done", None),
    ]


def test_tasks_come_in_their_order_and_calls_in_theirs(stepper: Stepper, ticker: LoopTicker) -> None:
    log = Log()
    stepper.add(log.task("first", lambda: 1))
    stepper.then(lambda: log.said.append("between"))
    stepper.add(log.task("second", lambda: 2))
    assert ticker.run(10.0)
    assert log.said == [("first", "done", 1), "between", ("second", "done", 2)]
    stepper.then(lambda: log.said.append("at once"))
    assert log.said[-1] == "at once"


def test_an_exception_arrives_with_its_trace_and_the_thread_lives_on(stepper: Stepper, ticker: LoopTicker) -> None:
    log = Log()

    def failing() -> Iterator[int]:
        yield 1
        raise ValueError("in the second step")

    stepper.add(log.task("bad", failing))
    stepper.add(log.task("good", lambda: "still here"))
    assert ticker.run(10.0)
    assert log.said == [("bad", 1), ("bad", "error", "in the second step"), ("good", "done", "still here")]
    assert len(log.threads) == 1


def test_a_stopped_task_gives_the_step_in_hand_and_no_further_one(stepper: Stepper, ticker: LoopTicker) -> None:
    log = Log()
    stepper.add(log.task("long", counted(10**6, log)))
    ticker.run(10.0, lambda: len(log.said) >= 4)
    assert stepper.stop("long")
    assert not stepper.stop("another")
    assert ticker.run(10.0)
    assert log.said[-1] == ("long", "dropped")
    assert len(log.said) <= 6


def test_after_cancel_nothing_arrives_any_more(stepper: Stepper, ticker: LoopTicker) -> None:
    log, release = Log(), threading.Event()
    stepper.add(log.task("slow", release.wait))
    stepper.add(log.task("next", lambda: 1))
    stepper.poll()
    stepper.cancel()
    release.set()
    stepper.add(log.task("later", lambda: 2))
    assert ticker.run(10.0)
    assert log.said == [("later", "done", 2)]


def test_a_poll_waits_no_longer_than_it_may(stepper: Stepper) -> None:
    release = threading.Event()
    stepper.add(Log().task("slow", release.wait))
    stepper.poll()
    waits = []
    for _ in range(10):
        start = time.perf_counter()
        stepper.poll()
        waits.append(time.perf_counter() - start)
    release.set()
    assert sorted(waits)[5] < 5 * POLL_SECONDS
    assert stepper.drain(10.0)


def test_a_poll_inside_of_a_result_does_nothing(stepper: Stepper, ticker: LoopTicker) -> None:
    seen: list[object] = []
    task = Task("outer", lambda: lambda: 1)
    task.on_done = lambda result: (stepper.poll(), seen.append(stepper.drain(0.5)))
    stepper.add(task)
    stepper.add(Log().task("waiting", lambda: 1))
    assert ticker.run(10.0)
    assert seen == [False]


def test_the_ticker_runs_only_while_something_is_pending(stepper: Stepper, ticker: LoopTicker) -> None:
    assert not ticker.active
    stepper.add(Log().task("one", lambda: 1))
    assert ticker.active
    assert ticker.run(10.0)
    assert not ticker.active


def test_a_closed_worker_takes_no_more_and_its_thread_ends() -> None:
    worker = Worker()
    job = worker.submit(lambda: 5)
    assert job.done.wait(10.0)
    assert job.result == 5
    assert worker.alive
    assert worker.close(10.0)
    assert not worker.alive
    with pytest.raises(RuntimeError):
        worker.submit(lambda: 6)


def test_a_worker_that_is_stuck_does_not_hold_up_the_end() -> None:
    worker, release = Worker(), threading.Event()
    worker.submit(release.wait)
    assert not worker.close(0.05)
    release.set()


class Cyclic:
    """Garbage that only the collector finds, and that notes on which thread it ended."""

    def __init__(self, ended_on: list[threading.Thread]) -> None:
        self.ended_on, self.itself = ended_on, self

    def __del__(self) -> None:
        self.ended_on.append(threading.current_thread())


def test_garbage_is_never_collected_on_the_engines_thread() -> None:
    ended_on: list[threading.Thread] = []
    worker = Worker()
    gc.enable()
    gc.collect()
    for _ in range(50):
        Cyclic(ended_on)

    def allocate() -> int:
        return sum(len([[number]]) for number in range(200_000) if [{number: [number]}])

    job = worker.submit(allocate)
    while not job.wait(0.05):
        pass
    assert gc.isenabled()
    gc.collect()
    assert set(ended_on) == {threading.current_thread()}
    assert worker.close()


def test_a_job_that_nobody_waits_for_leaves_the_collector_on_in_the_end() -> None:
    worker = Worker()
    gc.enable()
    worker.submit(lambda: None)
    assert worker.close()
    assert gc.isenabled()
