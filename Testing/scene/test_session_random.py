"""Random steps of a user between two touching segments: not one voxel of the other segment ever changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from MedSAM2SlicerLib.scene.segments import add_segment

from MedSAM2Lib.types import BoolArray
from Testing.scene.ground import paint
from Testing.scene.session_ground import Bench, bench_of

SHAPE = (10, 12, 14)


def two_blocks() -> BoolArray:
    """What the engine takes for one object: both segments' blocks, which touch."""
    bright = np.zeros(SHAPE, dtype=bool)
    bright[1:9, 2:10, 2:12] = True
    return bright


class User:
    """Does something at random, and draws in a segment as the segment editor does."""

    def __init__(self, bench: Bench, seed: int) -> None:
        self.bench = bench
        self.random = np.random.default_rng(seed)
        self.other = add_segment(bench.segmentation, "other")
        self.actions: list[Callable[[], object]] = [
            self.click,
            self.click,
            self.box,
            self.propagate,
            self.propagate,
            self.stop,
            self.accept,
            self.draw,
            self.erase,
            self.undo,
            self.undo,
            self.redo,
            self.remove,
            self.drag,
            self.clear,
            self.orientations,
            self.range,
            self.release,
            self.delete,
            self.settle,
        ]

    def step(self) -> str:
        action = self.actions[self.random.integers(len(self.actions))]
        action()
        if self.random.random() < 0.8:
            self.bench.run()
        else:
            for _ in range(int(self.random.integers(4))):
                self.bench.controller.poll()
        return action.__name__

    def place(self) -> tuple[float, float, float]:
        i, j, k = (int(self.random.integers(size)) for size in SHAPE[::-1])
        return float(i), float(j), float(k)

    def axis(self) -> Any:
        return "kji"[self.random.integers(3)]

    def click(self) -> None:
        self.bench.controller.add_point(self.place(), self.axis(), bool(self.random.random() < 0.8))

    def box(self) -> None:
        (i, j, k), (x, y, _) = self.place(), self.place()
        self.bench.controller.add_box((i, j, k), (x, y, k), "k")

    def propagate(self) -> None:
        self.bench.controller.propagate()

    def stop(self) -> None:
        self.bench.controller.propagate()
        wanted = int(self.random.integers(1, 5))
        self.bench.run(lambda: len(self.bench.state.slices) >= wanted)
        self.bench.controller.stop()

    def accept(self) -> None:
        self.bench.controller.accept_slice()

    def draw(self, erase: bool = False) -> None:
        mask = np.zeros(SHAPE, dtype=bool)
        i, j, k = (int(value) for value in self.place())
        mask[k, max(0, j - 2) : j + 3, max(0, i - 2) : i + 3] = True
        mine = mask & ~self.bench.voxels(self.other)
        paint(self.bench.segmentation, self.bench.segment_id, mine, self.bench.volume, erase)
        if self.random.random() < 0.5:
            self.bench.controller.look_at_edits()

    def erase(self) -> None:
        self.draw(erase=True)

    def undo(self) -> None:
        self.bench.controller.undo()

    def redo(self) -> None:
        self.bench.controller.redo()

    def remove(self) -> None:
        opened = self.bench.controller._core.open
        prompts = list(opened.prompts()) if opened is not None else []
        if prompts:
            self.bench.controller.remove_prompt(prompts[self.random.integers(len(prompts))])

    def drag(self) -> None:
        self.bench.drag_points(self.place())

    def clear(self) -> None:
        if self.random.random() < 0.2:
            self.bench.controller.clear_prompts()

    def orientations(self) -> None:
        self.bench.controller.set_orientations(("1", "3", "auto")[self.random.integers(3)])  # type: ignore[arg-type]

    def range(self) -> None:
        first, last = (int(value) for value in self.random.integers(0, SHAPE[0], 2))
        self.bench.controller.set_range(first, last)

    def release(self) -> None:
        self.bench.controller.release_keyframes()

    def delete(self) -> None:
        """The segment is deleted, and another one opened."""
        if self.random.random() < 0.3:
            self.bench.segmentation.GetSegmentation().RemoveSegment(self.bench.segment_id)
            self.bench.run()
            self.bench.open(add_segment(self.bench.segmentation, "organ"))

    def settle(self) -> None:
        self.bench.controller.settle("before the scene was saved", wait=True)


def walk(scene: Any, steps: int, seed: int) -> None:
    with bench_of(scene, two_blocks()) as bench:
        user = User(bench, seed)
        theirs = two_blocks()
        theirs[:, :6] = False
        paint(bench.segmentation, user.other, theirs, bench.volume)
        done: list[str] = []
        for _ in range(steps):
            done.append(user.step())
            told = f"seed {seed}, after {len(done)} steps: {done[-12:]}"
            assert np.array_equal(bench.voxels(user.other), theirs), told
            assert bench.state.error is None or bench.state.error.expected, (told, bench.state.error)
        bench.run()
        while bench.controller.undo():
            bench.run()
            assert np.array_equal(bench.voxels(user.other), theirs)
        assert bench.state.phase in ("ready", "reviewing")
        assert sum(state.phase == "reviewing" for state in bench.states) > steps / 10, "hardly anything was committed"


@pytest.mark.parametrize("seed", range(5))
def test_500_random_steps_leave_the_other_segment_as_it_was(scene: Any, seed: int) -> None:
    walk(scene, 100, seed)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 120))
def test_10000_random_steps_leave_the_other_segment_as_it_was(scene: Any, seed: int) -> None:
    walk(scene, 500, seed)


@pytest.mark.parametrize("seed", range(4))
def test_random_steps_can_all_be_undone_and_done_again_to_the_same_voxels(scene: Any, seed: int) -> None:
    with bench_of(scene, two_blocks()) as bench:
        user = User(bench, 1000 + seed)
        user.actions = [
            user.click,
            user.click,
            user.propagate,
            user.accept,
            user.draw,
            user.erase,
            user.remove,
            user.release,
        ]
        for _ in range(24):
            user.step()
            bench.run()
        bench.controller.look_at_edits()
        voxels = [bench.voxels()]
        keyframes = [bench.state.keyframes]
        while bench.controller.undo():
            bench.run()
            voxels.append(bench.voxels())
            keyframes.append(bench.state.keyframes)
        assert not voxels[-1].any()
        assert keyframes[-1] == ()
        for mask, keys in list(zip(voxels, keyframes))[-2::-1]:
            assert bench.controller.redo()
            bench.run()
            assert np.array_equal(bench.voxels(), mask)
            assert bench.state.keyframes == keys
