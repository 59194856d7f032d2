"""Batches by worker processes: the same ones in the same order, and errors that arrive as they were raised."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("lightning")

from MedSAM2Lib.errors import InputError
from MedSAM2Lib.training.batches import Job, batches_ahead
from MedSAM2Lib.training.clips import ClipBatch, ClipMaker, ClipPlan
from MedSAM2Lib.training.schedule import StepPlan
from MedSAM2Lib.training.unroll import MemoryPlan
from Testing.engine.training_ground import TINY, body

CPU = torch.device("cpu")
JOBS: list[Job] = [(step, StepPlan(ClipPlan(2, 1 + step % 3, 2), MemoryPlan())) for step in range(3, 9)]


class Refusing:
    def make(self, plan: ClipPlan, number: int) -> ClipBatch:
        raise InputError("E_NOTHING", "There is no batch {number}.", number=number)


def test_batches_are_the_same_whatever_the_number_of_workers() -> None:
    maker = ClipMaker([body()], TINY.image_size, 5)
    plain = [(plan, maker.make(plan.clips, step)) for step, plan in JOBS]
    for workers in (0, 1, 3):
        made = list(batches_ahead(maker, JOBS, workers, CPU))
        assert [plan for plan, _ in made] == [plan for plan, _ in plain]
        for (_, batch), (_, expected) in zip(made, plain):
            assert all(torch.equal(*pair) for pair in zip(batch, expected))
            assert batch.masks.dtype == torch.float32


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_in_a_worker_is_the_makers_own(workers: int) -> None:
    with pytest.raises(InputError) as refused:
        list(batches_ahead(Refusing(), JOBS, workers, CPU))
    assert (refused.value.code, str(refused.value)) == ("E_NOTHING", "There is no batch 3.")
