"""Devices and precisions: what is not there is refused by name, what runs out of memory is tried again with less."""

from __future__ import annotations

import time

import pytest
import torch

from MedSAM2Lib.errors import DeviceError
from MedSAM2Lib.tracking.device import ExecutionContext, choose_device, choose_precision, execution_context


def test_auto_takes_a_device_that_is_there() -> None:
    assert choose_device("auto").type in {"cpu", "cuda", "mps"}
    assert choose_device("cpu") == torch.device("cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU on this machine")
@pytest.mark.parametrize("name", ["cuda", "cuda:0"])
def test_a_device_that_is_not_there_is_refused_with_those_that_are(name: str) -> None:
    with pytest.raises(DeviceError, match=f"'{name}' is not on this machine; available: cpu") as caught:
        choose_device(name)
    assert caught.value.code == "E_DEVICE_ABSENT"


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "", "cpu:7"])
def test_a_name_that_is_no_device_is_refused(name: str) -> None:
    with pytest.raises(DeviceError):
        choose_device(name)


def test_precision_by_name_and_by_measurement() -> None:
    cpu = torch.device("cpu")
    assert choose_precision("fp32", cpu) == torch.float32
    assert choose_precision("bf16", cpu) == torch.bfloat16
    assert choose_precision("auto", cpu) in {torch.float32, torch.bfloat16}
    assert execution_context("cpu", "fp32").batch_limit == 1


@pytest.mark.parametrize(
    ("fp32_milliseconds", "bf16_milliseconds", "chosen"),
    [(40, 10, torch.bfloat16), (10, 40, torch.float32), (22, 20, torch.float32)],
    ids=["bf16 is faster", "bf16 is slower", "bf16 is hardly faster"],
)
def test_automatic_precision_on_a_cpu_is_chosen_by_the_time_that_both_take(
    monkeypatch: pytest.MonkeyPatch, fp32_milliseconds: int, bf16_milliseconds: int, chosen: torch.dtype
) -> None:
    taken = {torch.float32: fp32_milliseconds, torch.bfloat16: bf16_milliseconds}

    def takes_its_time(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        time.sleep(taken[first.dtype] / 1000)
        return first

    monkeypatch.setattr(torch, "mm", takes_its_time)
    assert choose_precision("auto", torch.device("cpu")) == chosen


class TightMemory:
    """A device whose memory holds ``capacity`` slices at once beside the cached features."""

    def __init__(self, capacity: int, cached: bool) -> None:
        self.capacity = capacity
        self.cached = cached

    def free(self) -> bool:
        had_any, self.cached = self.cached, False
        return had_any

    def step(self, context: ExecutionContext) -> int:
        if self.cached or context.batch_limit > self.capacity:
            raise torch.OutOfMemoryError("out of memory")
        return context.batch_limit


def test_out_of_memory_first_frees_the_features_then_halves_the_batch_and_says_so() -> None:
    context = ExecutionContext(torch.device("cpu"), torch.float32, batch_limit=8)
    memory = TightMemory(capacity=3, cached=True)
    assert context.retry_with_less_memory(lambda: memory.step(context), memory.free) == 2
    assert not memory.cached
    assert len(context.notices) == 3
    assert "host's memory" in context.notices[0]
    assert "at most 2 slices" in context.notices[-1]


def test_a_cpu_without_memory_is_recognised_and_other_errors_pass() -> None:
    context = ExecutionContext(torch.device("cpu"), torch.float32)
    with pytest.raises(DeviceError, match="no memory left"):
        context.retry_with_less_memory(lambda: torch.empty(1 << 60, dtype=torch.uint8), lambda: False)
    with pytest.raises(RuntimeError, match="shapes"):
        context.retry_with_less_memory(lambda: torch.ones(2, 3) @ torch.ones(2, 3), lambda: False)


def test_out_of_memory_for_a_single_slice_says_what_to_do() -> None:
    context = ExecutionContext(torch.device("cpu"), torch.float32, batch_limit=2)
    memory = TightMemory(capacity=0, cached=True)
    with pytest.raises(DeviceError, match="--image-size") as caught:
        context.retry_with_less_memory(lambda: memory.step(context), memory.free)
    assert caught.value.code == "E_DEVICE_MEMORY"
