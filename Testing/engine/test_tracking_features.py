"""The feature cache: nothing is encoded twice within its budget, and the budget holds."""

from __future__ import annotations

import gc
import weakref

import torch
from hypothesis import given
from hypothesis import strategies as st

from MedSAM2Lib.network.features import SliceFeatures
from MedSAM2Lib.tracking.engine import EngineOptions
from MedSAM2Lib.tracking.features import FeatureCache, FeatureKey, size_in_bytes
from MedSAM2Lib.tracking.session import TrackingSession
from MedSAM2Lib.types import PointPrompt, PropagationRequest, StopRule
from Testing.engine.phantoms import small_engine, two_organs_volume

CPU = torch.device("cpu")


def features(value: float = 0.0) -> SliceFeatures:
    top = torch.full((1, 4, 2, 2), float(value))
    return SliceFeatures(top, (torch.zeros(1, 1, 8, 8), torch.zeros(1, 2, 4, 4)))


ONE = size_in_bytes(features())


def key(index: int) -> FeatureKey:
    return ("k", index, (0.0, 0.0, 8.0, 8.0), 32, "torch.float32")


def test_within_the_budget_nothing_is_encoded_twice() -> None:
    cache = FeatureCache(CPU, host_bytes=10 * ONE)
    for _ in range(3):
        for index in range(10):
            found = cache.get(key(index), lambda index=index: features(index))
            assert float(found.top[0, 0, 0, 0]) == index
    assert cache.counts.encoded == 10
    assert cache.counts.reused == 20


@given(st.lists(st.integers(0, 20), max_size=60), st.integers(0, 8), st.integers(0, 8))
def test_neither_budget_is_ever_exceeded_and_answers_are_always_right(asked: list[int], host: int, device: int) -> None:
    cache = FeatureCache(CPU, host_bytes=host * ONE, device_bytes=device * ONE)
    for index in asked:
        found = cache.get(key(index), lambda index=index: features(index))
        assert float(found.top[0, 0, 0, 0]) == index
        assert cache.bytes_used <= (host + device) * ONE
    assert cache.counts.encoded + cache.counts.reused == len(asked)


def test_the_least_recently_used_slice_leaves_first() -> None:
    cache = FeatureCache(CPU, host_bytes=2 * ONE)
    for index in (1, 2, 1, 3):
        cache.get(key(index), features)
    assert key(1) in cache
    assert key(2) not in cache


def test_what_leaves_the_device_waits_on_the_host() -> None:
    cache = FeatureCache(CPU, host_bytes=10 * ONE, device_bytes=2 * ONE)
    for index in range(5):
        cache.get(key(index), lambda index=index: features(index))
    assert all(key(index) in cache for index in range(5))
    assert cache.move_to_host()
    assert not cache.move_to_host()
    assert all(key(index) in cache for index in range(5))


def test_features_larger_than_the_whole_budget_are_given_but_not_kept() -> None:
    cache = FeatureCache(CPU, host_bytes=ONE - 1)
    cache.get(key(0), features)
    assert key(0) not in cache
    assert cache.bytes_used == 0


def test_what_is_kept_is_bit_for_bit_what_was_encoded_in_layout_too_and_outlives_the_cache() -> None:
    generator = torch.Generator().manual_seed(0)
    top = torch.randn(1, 4, 6, 6, generator=generator).bfloat16().contiguous(memory_format=torch.channels_last)
    others = torch.randn(1, 2, 24, 24, generator=generator), torch.randn(1, 3, 12, 12, generator=generator).mT
    cache = FeatureCache(CPU)
    cache.get(key(0), lambda: SliceFeatures(top, others))
    kept = cache.get(key(0), features)
    cache.clear()
    for ours, theirs in zip((kept.top, *kept.high_res), (top, *others)):
        assert ours.dtype == theirs.dtype
        assert ours.stride() == theirs.stride()
        assert torch.equal(ours, theirs)
        assert ours.data_ptr() != theirs.data_ptr()


def test_banks_of_several_objects_hold_a_slices_embedding_once_and_only_while_they_remember_it() -> None:
    session = small_engine(EngineOptions(memory="self-sorting")).open(two_organs_volume()[0])
    for column in (11.0, 20.0):
        session.add_prompt(session.add_object("organ"), PointPrompt((column, 14.0, 10.0)))
    list(session.propagate(PropagationRequest("k", stop=StopRule(enabled=False), orientations="1")))
    one, other = (remembered(session, object_id) for object_id in (1, 2))
    common = sorted(one.keys() & other.keys())
    assert len(common) > 2
    assert all(one[index] is other[index] for index in common)
    held = weakref.ref(one[common[0]])
    del one, other
    session.remove_object(1)
    assert held() is not None
    session.remove_object(2)
    gc.collect()
    assert held() is None


def remembered(session: TrackingSession, object_id: int) -> dict[int, torch.Tensor | None]:
    return {entry.slice_index: entry.embedding for entry in session.objects[object_id].axes["k"].tracker.bank.entries()}
