"""Estimates before Enter, ranges around prompts, and the history's bookkeeping: values alone, no scene."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from MedSAM2SlicerLib.session.answers import Known
from MedSAM2SlicerLib.session.corrections import edited_slices
from MedSAM2SlicerLib.session.estimates import Extent, SpeedBook, estimate, network_steps
from MedSAM2SlicerLib.session.history import History, Step
from MedSAM2SlicerLib.session.knowledge import KnowledgeStore
from MedSAM2SlicerLib.session.ranges import clamped, default_range, with_keys
from MedSAM2SlicerLib.session.state import SessionError

from MedSAM2Lib.errors import InputError
from MedSAM2Lib.types import SliceKey
from MedSAM2Lib.volume.volume import Volume
from Testing.scene.session_ground import Bench

SHAPE = (64, 100, 120)


def test_the_estimate_counts_the_slices_of_all_orientations() -> None:
    mask = np.zeros((100, 120), dtype=bool)
    mask[20:60, 30:50] = True
    extent = Extent.of_slice(SliceKey("k", 5), mask)
    assert extent.slices == {"j": 40, "i": 20}
    assert network_steps("k", 0, 63, "1", extent, SHAPE) == 64
    assert network_steps("k", 0, 63, "3", extent, SHAPE) == 64 + 50 + 25
    speed = SpeedBook()
    assert estimate("k", 20, 42, "1", extent, SHAPE, speed).seconds is None
    for seconds in (0.5, 1.0, 9.0):
        speed.note_step(seconds)
    found = estimate("k", 20, 42, "1", extent, SHAPE, speed)
    assert (found.slices, found.steps, found.seconds, found.measured) == (23, 23, 23.0, True)


def test_a_figure_of_its_own_counts_more_than_a_stored_one_and_tracking_more_than_previews() -> None:
    speed = SpeedBook(stored=3.0)
    assert (speed.seconds_per_slice, speed.measured) == (3.0, False)
    speed.note_preview(2.0)
    assert (speed.seconds_per_slice, speed.measured) == (2.0, True)
    speed.note_step(1.0)
    assert speed.seconds_per_slice == 1.0


def test_the_range_reaches_50_mm_to_either_side_or_8_slices() -> None:
    fine = Volume.from_array(np.zeros((200, 4, 4), dtype=np.int16), spacing=(1.0, 1.0, 1.0))
    coarse = Volume.from_array(np.zeros((200, 4, 4), dtype=np.int16), spacing=(1.0, 1.0, 10.0))
    assert default_range(fine, "k", 100) == (50, 150)
    assert default_range(coarse, "k", 100) == (92, 108)
    assert default_range(fine, "k", 10) == (0, 60)
    assert with_keys((50, 60), "k", [SliceKey("k", 70), SliceKey("j", 2)]) == (50, 70)
    assert clamped(90, -5, 64) == (0, 63)


def test_estimates_of_a_session_come_with_the_first_prompt(bench: Bench) -> None:
    assert bench.controller.estimates() == ()
    bench.click()
    bench.controller.set_range(8, 16)
    whole, chosen = bench.controller.estimates()
    assert (whole.slices, chosen.slices) == (24, 9)
    assert whole.seconds is not None
    assert chosen.seconds is not None
    assert 0 < chosen.seconds < whole.seconds
    assert whole.measured
    bench.controller.whole_volume()
    assert len(bench.controller.estimates()) == 1


def step(token: int) -> Step:
    return Step("step", "segment", None, (), token)


def test_the_history_keeps_a_limit_and_drops_redo_on_something_new() -> None:
    history = History(limit=3)
    for token in range(1, 6):
        history.push(step(token))
    assert history.tokens == [5, 4, 3]
    last = history.undo()
    assert last is not None
    history.undone(step(6))
    assert (history.can_undo, history.can_redo) == (True, True)
    history.push(step(7))
    assert not history.can_redo
    assert history.redo() is None


@dataclass
class Remembering:
    """A session whose state is one array of its own and one that never changes, of 1000 bytes each."""

    restored: list[dict[str, Any]] = field(default_factory=list)

    told: int = 0

    def object_state(self, object_id: int) -> dict[str, Any]:
        self.told += 1
        return {"shared": [{"type": "SliceRecord"}, np.full(1000, self.told, np.uint8), np.zeros(1000, np.uint8)]}

    def restore_object(self, object_id: int, state: dict[str, Any]) -> None:
        if object_id == 13:
            raise InputError("E_STATE_FORMAT", "no state")
        self.restored.append(state)


def test_what_the_engine_knew_is_kept_within_a_budget_and_the_oldest_goes_first() -> None:
    store, session = KnowledgeStore(budget=3500), Remembering()
    for token in (1, 2, 3):
        store.keep(token, session, Known(1))  # type: ignore[arg-type]
    assert store.bytes == 3000
    assert store.take(1, session, Known(1)) is None  # type: ignore[arg-type]
    assert store.take(3, session, Known(1)) is not None  # type: ignore[arg-type]
    (state,) = session.restored
    assert [int(array[0]) for array in state["shared"][1:]] == [3, 0]
    store.retain([])
    assert store.bytes == 0


def test_knowledge_that_does_not_fit_any_more_is_not_taken() -> None:
    store, session = KnowledgeStore(), Remembering()
    store.keep(1, session, Known(13))  # type: ignore[arg-type]
    assert store.take(1, session, Known(13)) is None  # type: ignore[arg-type]
    store.keep(2, session, Known(1))  # type: ignore[arg-type]
    assert store.take(2, session, Known(2)) is None  # type: ignore[arg-type]


@dataclass(frozen=True)
class Edit:
    box: tuple[slice, slice, slice]
    added: np.ndarray
    removed: np.ndarray


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((1, 3, 4), [SliceKey("k", 5)]),
        ((4, 1, 3), [SliceKey("j", 6)]),
        ((2, 2, 2), [SliceKey("k", 5), SliceKey("k", 6)]),
    ],
)
def test_an_edit_is_told_in_as_few_slices_as_it_can_be(shape: tuple[int, ...], expected: list[SliceKey]) -> None:
    box = tuple(slice(start, start + size) for start, size in zip((5, 6, 7), shape))
    edit = Edit(box, np.ones(shape, dtype=bool), np.zeros(shape, dtype=bool))  # type: ignore[arg-type]
    assert edited_slices(edit, "k") == expected


def test_errors_of_the_program_and_of_the_user_are_told_apart() -> None:
    mine = SessionError.of(InputError("E_X", "Choose {what}.", what="another"))
    assert (mine.code, mine.sentence, mine.expected) == ("E_X", "Choose another.", True)
    defect = SessionError.of(ValueError("{odd} text"))
    assert (defect.code, defect.expected) == ("E_ENGINE", False)
    assert "ValueError: {odd} text" in defect.sentence
