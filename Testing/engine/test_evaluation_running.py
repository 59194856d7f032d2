"""Settings from files, rounds of prompts and results, and the baselines, on a stand-in and on the embedded model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from MedSAM2Lib.errors import InputError
from MedSAM2Lib.evaluation.baselines import NeighbourChain, RepeatedSlice
from MedSAM2Lib.evaluation.cases import Case
from MedSAM2Lib.evaluation.metrics import dice
from MedSAM2Lib.evaluation.prompts import box_on, click_on, largest_slice, mask_on
from MedSAM2Lib.evaluation.rounds import rounds
from MedSAM2Lib.evaluation.running import ReadyModel, SharedFeatures, engine_options, segment_case
from MedSAM2Lib.evaluation.settings import Setting, listed_settings, read_settings
from MedSAM2Lib.evaluation.users import PromptingUser
from MedSAM2Lib.tracking.checks import slice_pixel
from MedSAM2Lib.tracking.device import ExecutionContext
from MedSAM2Lib.tracking.engine import Sam2Engine, options_for, stop_rule_for
from MedSAM2Lib.tracking.stand_in import RegionGrowingSession
from MedSAM2Lib.types import Axis, BoxPrompt, PropagationRequest, StopRule, array_dimension
from MedSAM2Lib.volume.volume import Volume
from MedSAM2Lib.weights.loading import load_network
from Testing.engine.phantoms import ellipsoid, two_organs_volume

SHAPE = (20, 24, 26)
TRUTH = ellipsoid(SHAPE, (9, 12, 13), (6, 7, 8))
BRIGHT = Volume.from_array(np.where(TRUTH, 100, 0).astype(np.int16))
CASE = Case("bright/ellipsoid", BRIGHT, TRUTH)


class BrightSession(RegionGrowingSession):
    """The stand-in, but a box holds what is bright in it, so that there can be nothing."""

    def _grow_in_box(self, prompt: BoxPrompt, pixels: np.ndarray) -> tuple[np.ndarray, float]:
        (top, left), (bottom, right) = (slice_pixel(corner, prompt.axis) for corner in (prompt.first, prompt.last))
        mask = np.zeros(pixels.shape, dtype=bool)
        mask[top : bottom + 1, left : right + 1] = pixels[top : bottom + 1, left : right + 1] > 50
        return mask, 100.0


def chain(volume: Volume = BRIGHT, axis: Axis = "k", stop: StopRule | None = None) -> NeighbourChain:
    session = BrightSession(volume.array.astype(np.float32), tolerance=10.0)
    return NeighbourChain(session, axis, volume.shape, stop or StopRule())


@pytest.fixture(scope="module")
def embedded() -> ReadyModel:
    return ReadyModel(load_network("embedded"), ExecutionContext(torch.device("cpu"), torch.float32))


def organ() -> Case:
    volume, truth = two_organs_volume()
    return Case("two/first", volume, truth)


@pytest.mark.parametrize("axis", ["k", "j", "i"])
def test_a_chain_follows_the_object_slice_by_slice_and_ends_after_it(axis: Axis) -> None:
    index = largest_slice(TRUTH, axis)
    found = chain(axis=axis).add([mask_on(TRUTH, axis, index)])
    size = SHAPE[array_dimension(axis)]
    spanned = np.flatnonzero(np.moveaxis(TRUTH, array_dimension(axis), 0).any(axis=(1, 2)))
    # A neighbour's box cannot grow, so the stand-in loses nothing inwards of the largest slice.
    assert np.array_equal(found.mask, TRUTH)
    assert len(spanned) < found.slices <= min(size, len(spanned) + 4)


def test_a_chain_runs_to_the_last_slice_where_stopping_is_off() -> None:
    prompt = mask_on(TRUTH, "k", 9)
    assert chain(stop=StopRule(enabled=False)).add([prompt]).slices == SHAPE[0]


def test_misses_that_end_a_chain_are_empty_and_a_gap_is_bridged() -> None:
    broken = TRUTH.copy()
    broken[12] = False
    volume = Volume.from_array(np.where(broken, 100, 0).astype(np.int16))
    found = chain(volume).add([mask_on(broken, "k", 9)])
    assert not found.mask[12].any()
    assert found.mask[13].any()
    strict = chain(volume, stop=StopRule(misses=1)).add([mask_on(broken, "k", 9)])
    assert strict.mask[11].any() and not strict.mask[13].any()


def test_a_correction_restarts_the_chain_and_keeps_its_own_slice() -> None:
    link = chain()
    first = link.add([box_on(TRUTH, "k", 4)])
    corrected = link.add([mask_on(TRUTH, "k", 9)])
    assert np.array_equal(corrected.mask[9], TRUTH[9])
    assert np.array_equal(corrected.mask[9:], TRUTH[9:])
    assert dice(corrected.mask, TRUTH) > dice(first.mask, TRUTH)
    clicked = link.add([click_on(TRUTH, "k", 8)])
    assert dice(clicked.mask, TRUTH) >= dice(corrected.mask, TRUTH)


@pytest.mark.parametrize("axis", ["k", "i"])
def test_the_true_slice_is_repeated_everywhere_or_within_the_object(axis: Axis) -> None:
    dimension = array_dimension(axis)
    truth = np.moveaxis(TRUTH, dimension, 0)
    index = largest_slice(TRUTH, axis)
    everywhere = RepeatedSlice(TRUTH, axis, within=False).add([box_on(TRUTH, axis, index)])
    within = RepeatedSlice(TRUTH, axis, within=True).add([box_on(TRUTH, axis, index)])
    for place in range(SHAPE[dimension]):
        assert np.array_equal(np.take(everywhere.mask, place, axis=dimension), truth[index])
        expected = truth[index] if truth[place].any() else np.zeros_like(truth[index])
        assert np.array_equal(np.take(within.mask, place, axis=dimension), expected)
    assert everywhere.slices == within.slices == 0


def test_the_nearest_known_slice_is_repeated_after_corrections() -> None:
    repeated = RepeatedSlice(TRUTH, "k", within=True)
    repeated.add([box_on(TRUTH, "k", 9)])
    mask = repeated.add([mask_on(TRUTH, "k", 4)]).mask
    assert np.array_equal(mask[5], TRUTH[4])
    assert np.array_equal(mask[7], TRUTH[9])


def test_a_user_who_is_content_gets_the_same_result_at_no_cost() -> None:
    user = PromptingUser("mask", corrections=2)
    found = list(rounds(chain(), CASE, user))
    assert [one.number for one in found] == [0, 1, 2]
    assert found[0].slices > 0
    assert [one.slices for one in found[1:]] == [0, 0]
    assert found[2].mask is found[0].mask


def test_temporal_memory_is_what_the_engine_does_with_its_defaults(embedded: ReadyModel) -> None:
    case, user = organ(), PromptingUser("box")
    (found,) = segment_case(embedded, case, Setting("a"), user)
    config = embedded.loaded.config
    options = options_for(config, None, None, "auto", "temporal")
    session = Sam2Engine(embedded.loaded.network, embedded.context, options).open(case.volume)
    object_id = session.add_object("organ")
    session.add_prompt(object_id, box_on(case.truth, "k", largest_slice(case.truth, "k")))
    expected = np.zeros(case.truth.shape, dtype=bool)
    results = list(session.propagate(PropagationRequest("k", stop=stop_rule_for(config, True))))
    for result in results:
        expected[result.key.index] = session.voxel_logits(result) > 0
    assert np.array_equal(found.mask, expected)
    assert found.slices == len(results)
    assert found.seconds > 0
    assert dice(found.mask, case.truth) > 0.75


def test_shared_features_spare_the_encoder_and_change_no_voxel(embedded: ReadyModel) -> None:
    case, user, shared = organ(), PromptingUser("box"), SharedFeatures()
    settings = [Setting("a"), Setting("b", memory="self-sorting", orientations="3"), Setting("c", zoom="off")]
    for setting in settings:
        (alone,) = segment_case(embedded, case, setting, user)
        (together,) = segment_case(embedded, case, setting, user, shared)
        assert np.array_equal(alone.mask, together.mask)
    counts = shared.of(embedded, engine_options(embedded, settings[0])).counts
    before = counts.encoded
    (again,) = segment_case(embedded, case, Setting("d", memory="key-slice"), user, shared)
    assert again.mask.any()
    assert counts.encoded == before


@pytest.mark.parametrize("memory", ["temporal", "none"])
@pytest.mark.parametrize("correct_by", ["click", "slice"])
def test_corrections_are_taken_up_by_the_network(embedded: ReadyModel, memory: str, correct_by: str) -> None:
    case, user = organ(), PromptingUser("click", "quarter", corrections=2, correct_by=correct_by)
    first, *later = segment_case(embedded, case, Setting("a", memory=memory), user)
    assert len(later) == 2
    if correct_by == "slice":
        given = [
            one
            for index in range(len(case.truth))
            if (one := later[-1].mask[index]).any() and np.array_equal(one, case.truth[index])
        ]
        assert len(given) >= 2
    assert dice(later[-1].mask, case.truth) > dice(first.mask, case.truth) - 0.05


def test_the_stop_rule_and_the_zoom_of_a_setting_reach_the_engine(embedded: ReadyModel) -> None:
    case, user = organ(), PromptingUser("box")

    def slices(**options: object) -> int:
        (found,) = segment_case(embedded, case, Setting("a", **options), user)  # type: ignore[arg-type]
        return found.slices

    assert slices(stop="off") == len(case.truth)
    assert slices(stop_misses=1) < slices(stop_misses=3)
    assert slices(stop_predicted_iou=0.999) < slices()
    (near,) = segment_case(embedded, case, Setting("a"), user)
    (whole,) = segment_case(embedded, case, Setting("a", zoom="off"), user)
    assert not np.array_equal(near.mask, whole.mask)


@pytest.mark.parametrize("memory", ["temporal", "self-sorting", "key-slice"])
@pytest.mark.parametrize("orientations", ["1", "3", "auto"])
def test_every_memory_and_number_of_orientations_gives_a_mask(
    embedded: ReadyModel, memory: str, orientations: str
) -> None:
    case, user = organ(), PromptingUser("box")
    setting = Setting("a", memory=memory, orientations=orientations)  # type: ignore[arg-type]
    (found,) = segment_case(embedded, case, setting, user)
    assert (found.mask & case.truth).sum() > 0.5 * case.truth.sum()


def test_settings_are_read_from_a_file_with_all_their_options(tmp_path: Path) -> None:
    file = tmp_path / "settings.json"
    bank = {"rule": "code", "capacity": 8, "least_iou": 0.6, "margin": 0, "shown": 4, "resampling": "drawn"}
    content = [
        {"name": "SAM 2"},
        {"name": "K = 8", "memory": "self-sorting", "self_sorting": {**bank, "neighbour": False}, "orientations": 3},
        {"name": "far", "memory": "none", "stop": "off", "zoom": 2.5, "stop_predicted_iou": 0.3, "stop_misses": 4},
    ]
    file.write_text(json.dumps(content))
    plain, sorted_bank, far = read_settings(file)
    assert plain == Setting("SAM 2")
    assert sorted_bank.self_sorting.capacity == 8
    assert sorted_bank.self_sorting.neighbour is False
    assert sorted_bank.orientations == "3"
    assert (far.zoom, far.stop, far.stop_predicted_iou, far.stop_misses) == ("2.5", "off", 0.3, 4)
    assert "self_sorting" not in far.as_dict()
    assert sorted_bank.as_dict()["self_sorting"]["rule"] == "code"


def test_listed_settings_are_every_combination_under_its_own_name() -> None:
    found = listed_settings(["temporal", "none"], ["1"])
    assert [(one.name, one.memory) for one in found] == [("temporal", "temporal"), ("none", "none")]
    crossed = listed_settings(["temporal", "none"], ["1", "auto"])
    assert len({one.name for one in crossed}) == 4
    assert {(one.memory, one.orientations) for one in crossed} == {
        (memory, count) for memory in ("temporal", "none") for count in ("1", "auto")
    }


BAD_SETTINGS = {
    "no list": ({"name": "a"}, "E_SETTINGS"),
    "no settings": ([], "E_SETTINGS"),
    "no name": ([{"memory": "temporal"}], "E_SETTING_NAME"),
    "a name twice": ([{"name": "a"}, {"name": "a", "memory": "none"}], "E_SETTING_TWICE"),
    "an unknown field": ([{"name": "a", "memori": "none"}], "E_SETTING_FIELD"),
    "an unknown option of the bank": ([{"name": "a", "self_sorting": {"K": 8}}], "E_SETTING_FIELD"),
    "an unknown memory": ([{"name": "a", "memory": "good"}], "E_SETTING_VALUE"),
    "an unknown rule": ([{"name": "a", "self_sorting": {"rule": "best"}}], "E_SETTING_VALUE"),
    "a number as text": ([{"name": "a", "self_sorting": {"capacity": "8"}}], "E_SETTING_VALUE"),
    "a fraction of a slice": ([{"name": "a", "stop_misses": 1.5}], "E_SETTING_VALUE"),
    "yes for a number": ([{"name": "a", "stop_predicted_iou": True}], "E_SETTING_VALUE"),
    "no capacity": ([{"name": "a", "self_sorting": {"capacity": 0}}], "E_SETTING_VALUE"),
    "a margin over 1": ([{"name": "a", "self_sorting": {"margin": 1.5}}], "E_SETTING_VALUE"),
    "a threshold below 0": ([{"name": "a", "self_sorting": {"least_iou": -0.1}}], "E_SETTING_VALUE"),
    "a bank that is no object": ([{"name": "a", "self_sorting": 8}], "E_SETTING_VALUE"),
    "two orientations": ([{"name": "a", "orientations": 2}], "E_SETTING_VALUE"),
}


@pytest.mark.parametrize("what", BAD_SETTINGS)
def test_what_is_wrong_with_a_settings_file_is_named(tmp_path: Path, what: str) -> None:
    content, code = BAD_SETTINGS[what]
    file = tmp_path / "settings.json"
    file.write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"settings\.json") as caught:
        read_settings(file)
    assert caught.value.code == code


def test_a_settings_file_that_is_no_json_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "settings.json"
    for write in (lambda: None, lambda: file.write_text("{"), lambda: file.write_bytes(b"\xff\xfe\xfa")):
        write()
        with pytest.raises(InputError, match=r"settings\.json"):
            read_settings(file)
