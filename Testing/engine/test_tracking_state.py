"""Saved sessions: plain data that a session goes on from as if nothing had happened, and refuses where it must."""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from MedSAM2Lib.errors import InputError
from MedSAM2Lib.memory.options import SelfSortingOptions
from MedSAM2Lib.tracking.engine import KEY_SLICE, SELF_SORTING, EngineOptions, Sam2Engine
from MedSAM2Lib.tracking.session import TrackingSession
from MedSAM2Lib.tracking.state_file import load_state, save_state
from MedSAM2Lib.types import (
    BoxPrompt,
    MaskPrompt,
    PointPrompt,
    Prompt,
    PropagationRequest,
    SliceKey,
    StopRule,
)
from MedSAM2Lib.volume.intensity import Window
from MedSAM2Lib.volume.volume import Volume
from Testing.engine.phantoms import small_engine, small_network, two_organs_volume

VOLUME, TRUTH = two_organs_volume()
BOX = BoxPrompt((7, 9, 10), (15, 19, 10))
CLICK = PointPrompt((11.0, 14.0, 6.0))
NEGATIVE = PointPrompt((20.0, 14.0, 10.0), positive=False)
DRAWN = MaskPrompt(SliceKey("k", 13), TRUTH[13])
ON_J = PointPrompt((12.0, 13.0, 9.0), "j")
EVERY_SLICE = StopRule(enabled=False)
ALL_AXES = PropagationRequest("k", stop=EVERY_SLICE, orientations="3")
ONE_AXIS = PropagationRequest("k", stop=EVERY_SLICE)
CONTINUED = PropagationRequest("k", stop=EVERY_SLICE, orientations="3", update=True)

SORTING = SelfSortingOptions(capacity=4, least_iou=-1.0, shown=2)
OPTIONS = {
    "temporal": EngineOptions(fit="letterbox"),
    "temporal, zoomed": EngineOptions(fit="letterbox", zoom=1.7, seed_by="mask"),
    "self-sorting": EngineOptions(fit="letterbox", memory=SELF_SORTING, self_sorting=SORTING),
    "self-sorting, zoomed": EngineOptions(fit="letterbox", zoom=1.7, memory=SELF_SORTING, self_sorting=SORTING),
    "key slice": EngineOptions(fit="letterbox", memory=KEY_SLICE),
}
_EVERYDAY = ("temporal", "self-sorting, zoomed")
EACH_MEMORY = pytest.mark.parametrize(
    "options",
    [
        pytest.param(options, id=name, marks=() if name in _EVERYDAY else pytest.mark.long)
        for name, options in OPTIONS.items()
    ],
)


def session_with(engine: Sam2Engine, *prompts: Prompt) -> TrackingSession:
    session = engine.open(VOLUME)
    object_id = session.add_object("organ")
    for prompt in prompts:
        session.add_prompt(object_id, prompt)
    return session


def through_a_file(state: dict[str, Any], folder: Path) -> dict[str, Any]:
    save_state(state, folder / "session.npz")
    return load_state(folder / "session.npz")


def holdings(session: TrackingSession, object_id: int = 1) -> list[tuple[Any, ...]]:
    """Everything that a session says of an object; arrays as bytes, so that equal means equal in every bit."""
    found: list[tuple[Any, ...]] = [
        (one.frame, one.logits.tobytes(), one.predicted_iou, one.object_score, one.prompted, one.shown)
        for one in session.results(object_id)
    ]
    slab = session.fused(object_id, 0, VOLUME.shape[0] - 1)
    found.append((slab.probability.tobytes(), slab.disagreement.tobytes(), session.suggest(object_id)))
    return [*found, *((axis, session.bank(object_id, axis)) for axis in "kji")]  # type: ignore[arg-type]


@EACH_MEMORY
def test_a_restored_session_holds_the_same_and_goes_on_the_same(options: EngineOptions, tmp_path: Path) -> None:
    engine = small_engine(options)
    session = session_with(engine, BOX, NEGATIVE, DRAWN, ON_J)
    list(session.propagate(ALL_AXES))
    restored = engine.restore(VOLUME, through_a_file(session.state(), tmp_path))
    assert len(session.results(1)) == 80
    assert holdings(restored) == holdings(session)
    for change in (
        lambda one: one.add_prompt(1, CLICK),
        lambda one: one.add_prompt(1, PointPrompt((11.0, 14.0, 13.0))),
        lambda one: one.clear_prompts(1, BOX.slice),
    ):
        steps = []
        for one in (session, restored):
            change(one)
            steps.append([(step.key, step.logits.tobytes(), step.shown) for step in one.propagate(CONTINUED)])
        assert steps[0]
        assert steps[0] == steps[1]
        assert holdings(restored) == holdings(session)


@pytest.mark.parametrize("memory", ["temporal, zoomed", "self-sorting"])
def test_a_cancelled_propagation_saved_and_resumed_is_one_run(memory: str, tmp_path: Path) -> None:
    engine = small_engine(OPTIONS[memory])
    whole = session_with(engine, BOX)
    count = sum(1 for _ in whole.propagate(ALL_AXES))
    expected = [(one.key, one.logits.tobytes(), one.shown) for one in whole.results(1)]
    for steps in (1, 19, count // 2, count - 1):
        session = session_with(engine, BOX)
        running = session.propagate(ALL_AXES)
        list(itertools.islice(running, steps))
        state = through_a_file(session.state(), tmp_path)
        restored = engine.restore(VOLUME, state)
        rest = list(restored.propagate(CONTINUED))
        assert len(rest) == count - steps
        assert [(one.key, one.logits.tobytes(), one.shown) for one in restored.results(1)] == expected


def test_misses_that_a_cancelled_propagation_held_back_are_not_lost(tmp_path: Path) -> None:
    engine = small_engine()
    rule = StopRule(predicted_iou=10.0, misses=6)
    whole = session_with(engine, BOX)
    keys = [one.key.index for one in whole.propagate(PropagationRequest("k", stop=rule))]
    assert sorted(keys) == list(range(4, 17))
    session = session_with(engine, BOX)
    running = session.propagate(PropagationRequest("k", stop=rule))
    next(running)
    session.runner.track = _cancelled_at(session.runner.track, 9)  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        list(running)
    restored = engine.restore(VOLUME, through_a_file(session.state(), tmp_path))
    rest = list(restored.propagate(PropagationRequest("k", stop=rule, update=True)))
    assert len(rest) == 12
    assert holdings(restored)[:-3] == holdings(whole)[:-3]


def _cancelled_at(track: Callable[..., Any], call: int) -> Callable[..., Any]:
    calls = itertools.count()

    def interrupted(steps: Sequence[Any]) -> Any:
        if next(calls) == call:
            raise KeyboardInterrupt
        return track(steps)

    return interrupted


def test_prompts_that_nothing_was_computed_from_are_kept(tmp_path: Path) -> None:
    engine = small_engine()
    session = session_with(engine, BOX, NEGATIVE, DRAWN, ON_J)
    session.add_object("second, without a prompt")
    restored = engine.restore(VOLUME, through_a_file(session.state(), tmp_path))
    prompts = restored.objects[1].prompts
    assert [prompts[place] for place in (0, 1, 3)] == [BOX, NEGATIVE, ON_J]
    assert isinstance(prompts[2], MaskPrompt)
    assert prompts[2].slice == DRAWN.slice
    assert np.array_equal(prompts[2].mask, DRAWN.mask)
    assert restored.objects[2].name == "second, without a prompt"
    assert restored.add_object("third") == 3
    assert np.array_equal(restored.preview(1, BOX.slice).logits, session.preview(1, BOX.slice).logits)


def test_several_objects_and_previews_not_propagated_are_kept(tmp_path: Path) -> None:
    engine = small_engine()
    session = session_with(engine, BOX)
    second = session.add_object("second")
    session.add_prompt(second, CLICK)
    list(session.propagate(PropagationRequest("k", [1], stop=EVERY_SLICE)))
    preview = session.preview(second, CLICK.slice)
    restored = engine.restore(VOLUME, through_a_file(session.state(), tmp_path))
    assert np.array_equal(restored.preview(second, CLICK.slice).logits, preview.logits)
    assert restored.features.counts.encoded == 0
    for object_id in (1, second):
        assert holdings(restored, object_id) == holdings(session, object_id)


def test_a_correction_pending_when_the_session_was_saved_is_still_pending(tmp_path: Path) -> None:
    engine = small_engine()
    session = session_with(engine, BOX)
    list(session.propagate(ALL_AXES))
    session.add_prompt(1, CLICK)
    restored = engine.restore(VOLUME, through_a_file(session.state(), tmp_path))
    steps = [[(step.key, step.logits.tobytes()) for step in one.propagate(CONTINUED)] for one in (session, restored)]
    assert steps[0] == steps[1]
    assert all(key.axis != "k" or key.index < 10 for key, _ in steps[0])


def test_a_session_in_bf16_goes_on_the_same(tmp_path: Path) -> None:
    engine = small_engine(OPTIONS["self-sorting"])
    engine.context.dtype = torch.bfloat16
    session = session_with(engine, BOX)
    list(session.propagate(ONE_AXIS))
    restored = engine.restore(VOLUME, through_a_file(session.state(), tmp_path))
    for one in (session, restored):
        one.add_prompt(1, CLICK)
        list(one.propagate(CONTINUED))
    assert holdings(restored) == holdings(session)


def test_the_window_is_the_saved_one(tmp_path: Path) -> None:
    engine = small_engine(EngineOptions(fit="letterbox", window=Window(-200.0, 300.0)))
    session = session_with(engine, BOX)
    list(session.propagate(ONE_AXIS))
    state = through_a_file(session.state(), tmp_path)
    restored = session_with(small_engine(EngineOptions(fit="letterbox", window=Window(0.0, 100.0))), CLICK)
    restored.preview(1, CLICK.slice)
    restored.restore(state)
    assert restored.view.window == Window(-200.0, 300.0)
    for one in (session, restored):
        one.add_prompt(1, CLICK)
    assert np.array_equal(restored.preview(1, CLICK.slice).logits, session.preview(1, CLICK.slice).logits)


def test_a_session_with_voxels_that_were_not_finite_is_restored() -> None:
    array = VOLUME.array.astype(np.float32)
    array[0, 0, 0] = np.nan
    volume = Volume.from_array(array)
    engine = small_engine()
    session = engine.open(volume)
    session.add_prompt(session.add_object("organ"), BOX)
    assert engine.restore(volume, session.state()).objects[1].prompts == [BOX]


def leaves(data: Any) -> Iterator[Any]:
    if isinstance(data, (dict, list)):
        for one in data.values() if isinstance(data, dict) else data:
            yield from leaves(one)
    else:
        yield data


def test_a_state_is_plain_data_that_does_not_change_with_the_session() -> None:
    engine = small_engine(OPTIONS["self-sorting"])
    session = session_with(engine, BOX, DRAWN)
    list(session.propagate(ALL_AXES))
    state = session.state()
    kinds = {type(leaf) for leaf in leaves(state)}
    assert kinds <= {int, float, str, bool, type(None), np.ndarray}
    json.dumps({**state, "shared": [one for one in state["shared"] if not isinstance(one, np.ndarray)]})
    before = copy.deepcopy(state)
    session.add_prompt(1, CLICK)
    list(session.propagate(CONTINUED))
    np.testing.assert_equal(state, before)
    first, second = engine.restore(VOLUME, state), engine.restore(VOLUME, state)
    first.add_prompt(1, CLICK)
    list(first.propagate(CONTINUED))
    expected = engine.restore(VOLUME, before)
    assert holdings(second) == holdings(expected)
    np.testing.assert_equal(state, before)


def test_what_was_shared_is_written_once() -> None:
    session = session_with(small_engine(), BOX)
    list(session.propagate(ONE_AXIS))
    shapes = [one.shape for one in session.state()["shared"] if isinstance(one, np.ndarray)]
    assert shapes.count((1, 1, 16, 16)) == 20
    assert shapes.count((1, 16, 4, 4)) == 20
    assert shapes.count((1, 32)) == 20


@cache
def _saved_once() -> dict[str, Any]:
    session = session_with(small_engine(), BOX, DRAWN)
    list(session.propagate(ONE_AXIS))
    return session.state()


def saved() -> dict[str, Any]:
    """The state of a propagated session, one's own to change."""
    return copy.deepcopy(_saved_once())


def refusal(engine: Sam2Engine, volume: Volume, state: Any) -> InputError:
    with pytest.raises(InputError) as caught:
        engine.restore(volume, state)
    assert len(str(caught.value)) > 40
    return caught.value


def test_another_volume_is_refused_by_its_checksum() -> None:
    state = saved()
    array = VOLUME.array.copy()
    array[3, 4, 5] += 1
    for other in (
        Volume(array, VOLUME.ijk_to_world, VOLUME.name),
        Volume(VOLUME.array, VOLUME.ijk_to_world * 2, VOLUME.name),
        Volume(VOLUME.array[:-1], VOLUME.ijk_to_world, VOLUME.name),
    ):
        assert refusal(small_engine(), other, state).code == "E_STATE_VOLUME"
    renamed = Volume(VOLUME.array.copy(), VOLUME.ijk_to_world, "another name")
    assert len(small_engine().restore(renamed, state).results(1)) == 20


def test_another_model_or_other_options_are_refused_and_named() -> None:
    state = saved()
    engine = small_engine()
    engine.network = small_network(seed=1)
    error = refusal(engine, VOLUME, state)
    assert error.code == "E_STATE_MODEL"
    assert "weights" in str(error)
    for options, words in (
        (OPTIONS["self-sorting"], "bank, memory"),
        (EngineOptions(fit="letterbox", zoom=1.7), "zoom"),
        (EngineOptions(fit="stretch"), "fit"),
    ):
        error = refusal(small_engine(options), VOLUME, state)
        assert error.code == "E_STATE_MODEL"
        assert words in str(error)


def _set(*path: Any, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(state: dict[str, Any]) -> None:
        place: Any = state
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = value

    return change


def _first_array(shape: tuple[int, ...], value: Any) -> Callable[[dict[str, Any]], None]:
    def change(state: dict[str, Any]) -> None:
        arrays = [one.shape if isinstance(one, np.ndarray) else None for one in state["shared"]]
        state["shared"][arrays.index(shape)] = value

    return change


OBJECT = ("objects", 0, 1)
DAMAGES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "another format": _set("format", value="something else"),
    "a later version": _set("version", value=2),
    "no volume": lambda state: state.pop("volume"),
    "no objects": lambda state: state.pop("objects"),
    "objects of another kind": _set("objects", value=7),
    "a name that is none": _set(*OBJECT, "name", value=7),
    "an unknown field": _set(*OBJECT, "colour", value="red"),
    "a field that is missing": lambda state: state["objects"][0][1].pop("updates"),
    "a prompt of no kind": _set(*OBJECT, "prompts", 0, "type", value="LinePrompt"),
    "a prompt outside the volume": _set(*OBJECT, "prompts", 0, "last", value=[99.0, 19.0, 10.0]),
    "an axis that is none": _set(*OBJECT, "prompts", 0, "axis", value="x"),
    "a slice outside the volume": _set(*OBJECT, "axes", "k", "pending", value=[20]),
    "a reference to nowhere": _set(*OBJECT, "axes", "k", "tracker", "shared", value=10**6),
    "a reference before the beginning": _set(*OBJECT, "axes", "k", "tracker", "shared", value=-1),
    "a reference to something else": _set(*OBJECT, "axes", "k", "tracker", "shared", value=0),
    "logits of another size": _first_array((1, 1, 16, 16), np.zeros((1, 1, 8, 8), dtype=np.float32)),
    "logits of another type": _first_array((1, 1, 16, 16), np.zeros((1, 1, 16, 16), dtype=np.complex64)),
    "logits that are no array": _first_array((1, 1, 16, 16), "zero"),
    "a map of another size": _first_array((1, 16, 4, 4), np.zeros((1, 16, 5, 4), dtype=np.uint16)),
    "a mask of numbers": _first_array((28, 32), np.zeros((28, 32), dtype=np.float32)),
    "a window upside down": _set("window", "low", value=1e6),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_what_is_no_state_is_refused_and_the_session_stays_as_it_is(damage: Callable[[dict[str, Any]], Any]) -> None:
    state = saved()
    damage(state)
    session = session_with(small_engine(), CLICK)
    session.preview(1, CLICK.slice)
    before = holdings(session)
    with pytest.raises(InputError) as caught:
        session.restore(state)
    assert caught.value.code == "E_STATE_FORMAT"
    assert holdings(session) == before


@pytest.mark.parametrize("state", [None, 7, [], {}, "state", {"format": "MedSAM2Slicer session"}])
def test_other_data_is_refused(state: Any) -> None:
    assert refusal(small_engine(), VOLUME, state).code == "E_STATE_FORMAT"


def test_restoring_ends_a_propagation_under_way() -> None:
    session = session_with(small_engine(), BOX)
    state = session.state()
    running = session.propagate(ONE_AXIS)
    next(running)
    session.restore(state)
    assert len(list(running)) <= 1
    assert session.results(1) == []


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off", b"not a session at all", b"\x93NUMPY\x01\x00"])
def test_a_file_that_is_no_saved_session_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "session.npz"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        load_state(path)
    assert caught.value.code == "E_STATE_FORMAT"


def test_a_damaged_or_missing_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "session.npz"
    save_state(saved(), path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(InputError, match="damaged"):
        load_state(path)
    np.savez(path, other=np.zeros(3))
    with pytest.raises(InputError, match="no saved session"):
        load_state(path)
    with pytest.raises(InputError) as caught:
        load_state(tmp_path / "absent.npz")
    assert caught.value.code == "E_STATE_MISSING"
