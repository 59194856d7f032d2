"""The heap: freed memory is given back to the system, every so many calls of the network."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import pytest
import torch

from MedSAM2Lib.tracking.heap import Heap, give_back_freed_memory

MIB = 1 << 20


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the C library maps large blocks by itself")
def test_what_is_free_between_records_that_stay_goes_back_to_the_system() -> None:
    blocks = [torch.ones(16 * 1024) for _ in range(3200)]
    kept = blocks[::32]
    blocks.clear()
    before = resident()
    give_back_freed_memory()
    assert before - resident() > 100 * MIB
    assert all(bool((one == 1).all()) for one in kept)


def test_the_heap_is_tidied_every_so_many_calls_and_not_in_between() -> None:
    tidied: list[bool] = []
    heap = Heap(lambda: tidied.append(True), calls=3)
    counts = []
    for _ in range(7):
        heap.after_call()
        counts.append(len(tidied))
    assert counts == [0, 0, 1, 1, 1, 2, 2]
