"""Sets of unordered images: found by content alone, whatever the names and order; corrected, cancelled, resumed."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from MedSAM2Lib.errors import InputError, PromptError
from MedSAM2Lib.evaluation.metrics import dice
from MedSAM2Lib.imageset import prompts
from MedSAM2Lib.imageset.memory import SetMemory
from MedSAM2Lib.imageset.options import ImageSetOptions
from MedSAM2Lib.imageset.session import ImageSetSession
from MedSAM2Lib.memory.bank import MemoryEntry
from MedSAM2Lib.memory.options import SelfSortingOptions
from Testing.engine.pictures import box_of, digest_of, disc_pictures, masks_by_identity, session_on

PICTURES = disc_pictures(5)
ZOOMED = ImageSetOptions(zoom=1.7, fit="letterbox", least_confidence=0.5)
WHOLE = replace(ZOOMED, zoom=None)
SMALL_BANK = replace(WHOLE, bank=SelfSortingOptions(capacity=3, shown=2))


def prompted_session(
    order: list[int] | None = None, options: ImageSetOptions = WHOLE, host_bytes: int = 1 << 30
) -> ImageSetSession:
    """The pictures in some order, the first one of ``PICTURES`` prompted by its box."""
    session = session_on([PICTURES[place][0] for place in order or range(len(PICTURES))], options, host_bytes)
    session.add_prompt(session.place_of(digest_of(PICTURES[0][0])), box_of(PICTURES[0][1]))
    return session


def run_masks(session: ImageSetSession) -> dict[str, bytes]:
    return masks_by_identity(session, list(session.run()))


@pytest.mark.parametrize("memory", ["self-sorting", "temporal", "none"])
def test_one_box_finds_the_object_in_the_other_images(memory: str) -> None:
    session = prompted_session(options=replace(ZOOMED, memory=memory))
    results = list(session.run())
    truths = {digest_of(pixels): truth for pixels, truth in PICTURES}
    scores = [dice(session.mask(one), truths[session.images[one.place].identity]) for one in results]
    assert len(scores) == len(PICTURES)
    assert np.mean(scores) > 0.8


@pytest.mark.parametrize(
    "options",
    [replace(SMALL_BANK, zoom=1.7), SMALL_BANK, replace(SMALL_BANK, order="free"), replace(WHOLE, memory="temporal")],
    ids=["zoomed", "content", "free", "temporal"],
)
def test_neither_names_nor_order_change_any_mask(options: ImageSetOptions) -> None:
    expected = run_masks(prompted_session(options=options))
    assert len(expected) == len(PICTURES)
    for order in ([4, 2, 0, 3, 1], [1, 0, 3, 4, 2]):
        assert run_masks(prompted_session(order, options)) == expected


def test_with_no_memory_each_image_is_shown_the_prompted_ones_alone() -> None:
    session = prompted_session(options=replace(WHOLE, memory="none"))
    prompted = session.place_of(digest_of(PICTURES[0][0]))
    assert {one.shown for one in session.run() if not one.prompted} == {(prompted,)}


def test_the_bank_grows_from_image_to_image_up_to_its_capacity() -> None:
    session = prompted_session(options=SMALL_BANK)
    sizes = [(len(one.shown), len(session.members())) for one in session.run()]
    assert sizes[0] == (0, 1)
    assert max(shown for shown, _ in sizes) == 3
    assert max(members for _, members in sizes) == 3


def test_the_bank_tells_which_images_it_holds_and_what_each_pushed_out() -> None:
    session = prompted_session(options=SMALL_BANK)
    assert session.bank() is None
    list(session.run())
    bank = session.bank()
    assert bank is not None and not bank.grown
    assert bank.prompted == (session.place_of(digest_of(PICTURES[0][0])),)
    assert sorted((*bank.prompted, *bank.tracked)) == session.members()
    offered = [event.slice_index for event in bank.events]
    assert len(offered) == len(set(offered)) > bank.capacity == 3
    left = {event.pushed_out for event in bank.events if event.pushed_out is not None}
    assert {event.slice_index for event in bank.events if event.kept} - left == set(session.members())


def test_an_image_is_never_shown_itself_in_the_order_free_mode() -> None:
    session = prompted_session(options=replace(WHOLE, order="free"))
    results = list(session.run())
    assert len(session.members()) > 1
    assert all(one.place not in one.shown for one in results)


def test_a_small_budget_of_bytes_changes_no_mask_and_is_kept() -> None:
    expected = run_masks(prompted_session())
    budget = 200_000
    session = prompted_session(host_bytes=budget)
    assert run_masks(session) == expected
    assert session._looker._features.bytes_used <= budget


def test_a_run_that_was_cut_off_goes_on_to_the_same_masks() -> None:
    expected = run_masks(prompted_session(options=SMALL_BANK))
    session = prompted_session(options=SMALL_BANK)
    first = masks_by_identity(session, list(itertools.islice(session.run(), 3)))
    rest = run_masks(session)
    assert not set(first) & set(rest)
    assert {**first, **rest} == expected
    assert masks_by_identity(session, session.results()) == expected


def test_a_correction_makes_a_prompted_image_and_outdates_the_rest() -> None:
    session = prompted_session()
    list(session.run())
    place = session.place_of(digest_of(PICTURES[3][0]))
    session.add_prompt(place, prompts.mask(PICTURES[3][1]))
    assert session.results() == []
    results = list(session.run())
    assert len(results) == len(PICTURES)
    corrected = next(one for one in results if one.place == place)
    assert corrected.prompted
    assert np.array_equal(session.mask(corrected), PICTURES[3][1])
    assert all(place in one.shown for one in results if not one.prompted)


def test_clicks_correct_what_was_found_and_not_from_nothing() -> None:
    session = prompted_session()
    list(session.run())
    place = session.place_of(digest_of(PICTURES[2][0]))
    before = next(one for one in session.results() if one.place == place)
    row, column = np.argwhere(PICTURES[2][1]).mean(axis=0)
    session.add_prompt(place, prompts.point(float(column), float(row)))
    after = session.preview(place)
    assert after.frame == before.frame
    assert after.shown
    assert dice(session.mask(after), PICTURES[2][1]) > 0.8


def test_without_its_prompt_an_image_is_one_like_the_others() -> None:
    expected = run_masks(prompted_session())
    session = prompted_session()
    place = session.place_of(digest_of(PICTURES[4][0]))
    session.add_prompt(place, box_of(PICTURES[4][1]))
    list(session.run())
    session.clear_prompts(place)
    assert run_masks(session) == expected


def test_one_image_alone_works() -> None:
    pixels, truth = PICTURES[0]
    session = session_on([pixels], WHOLE)
    session.add_prompt(0, box_of(truth))
    (result,) = session.run()
    assert dice(session.mask(result), truth) > 0.85


def test_colours_and_16_bits_work_and_whole_images_without_zoom() -> None:
    pixels, truth = PICTURES[0]
    pictures = [
        np.stack([pixels, pixels // 2, pixels], axis=-1),
        PICTURES[1][0].astype(np.uint16) * 100,
        PICTURES[2][0],
    ]
    session = session_on(pictures, ImageSetOptions())
    session.add_prompt(session.place_of(digest_of(pictures[0])), box_of(truth))
    for result in session.run():
        assert session.mask(result).shape == session.images[result.place].shape
        assert result.frame.top == 0


def test_masks_below_the_least_confidence_are_empty_and_not_remembered() -> None:
    session = prompted_session(options=replace(WHOLE, least_confidence=0.999))
    results = list(session.run())
    assert [one.present for one in results] == [True, False, False, False, False]
    assert not any(session.mask(one).any() for one in results[1:])
    assert len(session.members()) == 1


def test_what_does_not_fit_is_refused() -> None:
    session = session_on([PICTURES[0][0]], WHOLE)
    with pytest.raises(PromptError, match="prompt at least one"):
        next(session.run())
    for prompt, code in (
        (prompts.point(64, 3), "E_PROMPT_OUTSIDE"),
        (prompts.box(3, 3, 3, 9), "E_BOX_AREA"),
        (prompts.mask(np.ones((3, 3), dtype=bool)), "E_MASK_SIZE"),
    ):
        with pytest.raises(PromptError) as caught:
            session.add_prompt(0, prompt)
        assert caught.value.code == code
    session.add_prompt(0, prompts.point(3, 3, positive=False))
    with pytest.raises(PromptError, match="negative"):
        next(session.run())
    with pytest.raises(InputError, match="goes by the order"):
        session_on([PICTURES[0][0]], ImageSetOptions(memory="temporal", order="free"))


def entry(place: int, direction: int = 1) -> MemoryEntry:
    """An entry with a map of its own."""
    made = torch.randn(1, 4, 2, 2, generator=torch.Generator().manual_seed(place))
    return MemoryEntry(place, direction, made, torch.zeros(1, 8), 0.9, 5.0, made)  # type: ignore[arg-type]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(list(range(1, 9))), capacity=st.integers(1, 9))
def test_a_bank_filled_at_once_does_not_depend_on_the_order_of_the_candidates(order: list[int], capacity: int) -> None:
    options = ImageSetOptions(bank=SelfSortingOptions(capacity=capacity))

    def members(places: list[int]) -> list[int]:
        memory = SetMemory(options, 7, 16, 10)
        memory.add(0, entry(0, 0))
        memory.fill([entry(place) for place in places])
        return memory.members()

    found = members(order)
    assert found == members(sorted(order))
    assert len(found) == min(capacity, 9)
    assert 0 in found
