"""Batches ahead of their use, by worker processes: the same ones in the same order, however many workers there are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sized
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch.utils.data import DataLoader, Dataset

from MedSAM2Lib.errors import MedSAM2Error
from MedSAM2Lib.training.clips import ClipBatch, ClipPlan
from MedSAM2Lib.training.schedule import StepPlan

AHEAD_OF_EACH_WORKER = 4


class BatchMaker(Protocol):
    """Makes batches by their number."""

    def make(self, plan: ClipPlan, number: int) -> ClipBatch:
        """Batch ``number``: the same number and plan always give the same batch."""


Job = tuple[int, StepPlan]
"""A step's number and its plan."""


@dataclass(frozen=True)
class _Failure:
    """An error of ours on its way from a worker, in parts, for as a whole it would not survive the journey."""

    kind: type[MedSAM2Error]
    code: str
    template: str
    fields: dict[str, object]


class _Batches(Dataset["tuple[StepPlan, ClipBatch | _Failure]"]):
    """What a worker does for one step; masks travel as bytes."""

    def __init__(self, maker: BatchMaker) -> None:
        self.maker = maker

    def __getitem__(self, job: Job) -> tuple[StepPlan, ClipBatch | _Failure]:
        step, plan = job
        try:
            batch = self.maker.make(plan.clips, step)
        except MedSAM2Error as error:
            return plan, _Failure(type(error), error.code, error.template, error.fields)
        return plan, batch._replace(masks=batch.masks.to(torch.uint8))


class _Jobs(Sized):
    """The steps of a run as a sampler; their number is not known before."""

    def __init__(self, jobs: Iterable[Job]) -> None:
        self.jobs = jobs

    def __iter__(self) -> Iterator[Job]:
        return iter(self.jobs)

    def __len__(self) -> int:
        raise TypeError("the number of steps is not known")


def batches_ahead(
    maker: BatchMaker, jobs: Iterable[Job], workers: int, device: torch.device
) -> Iterator[tuple[StepPlan, ClipBatch]]:
    """The batch of each job, in order, on the device.

    With ``workers`` above 0 that many processes make them while the network computes; with 0 each is made when it is
    asked for. Raises what the maker raises.
    """
    loader = DataLoader(
        _Batches(maker),
        batch_size=None,
        sampler=_Jobs(jobs),
        num_workers=workers,
        prefetch_factor=AHEAD_OF_EACH_WORKER if workers else None,
        pin_memory=device.type == "cuda",
        generator=torch.Generator(),
        collate_fn=_as_it_is,
    )
    for plan, batch in loader:
        if isinstance(batch, _Failure):
            raise batch.kind(batch.code, batch.template, **batch.fields)
        moved = batch.to(device)
        yield plan, moved._replace(masks=moved.masks.float())


def _as_it_is(made: Any) -> Any:
    return made
