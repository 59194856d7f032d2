"""The training loop: device and precision by Lightning Fabric, everything else plain.

A run writes into its folder: ``run.json`` (what was asked for), ``last.ckpt`` (network, average, optimiser, step:
enough to go on exactly), ``curve.csv`` (every step), ``validation.csv`` and ``curve.png``.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.fabric import Fabric
from torch import Tensor

from MedSAM2Lib.errors import InputError, MedSAM2Error
from MedSAM2Lib.network.config import NetworkConfig
from MedSAM2Lib.network.sam2 import Sam2Network
from MedSAM2Lib.training.averaging import WeightAverage
from MedSAM2Lib.training.batches import BatchMaker, Job, batches_ahead
from MedSAM2Lib.training.checkpoint import load_checkpoint, save_checkpoint
from MedSAM2Lib.training.clips import ClipBatch
from MedSAM2Lib.training.configuration import PRECISIONS, TrainingConfig
from MedSAM2Lib.training.curve import Curve
from MedSAM2Lib.training.losses import FrameLoss
from MedSAM2Lib.training.methods import method_of
from MedSAM2Lib.training.plots import plot_run
from MedSAM2Lib.training.run_folder import RunFolder, RunNotes
from MedSAM2Lib.training.schedule import StepPlan
from MedSAM2Lib.training.starting import Start
from MedSAM2Lib.training.validation import Validation, Validator

CURVE_COLUMNS = (
    "step",
    "frames",
    "slices",
    "rate",
    "loss",
    "mask",
    "iou",
    "score",
    "reached_iou",
    "gradient",
    "seconds",
)
VALIDATION_COLUMNS = ("step", "frames", *Validation.__dataclass_fields__)
LEAST_STEPS_WITHOUT_NUMBER = 10
CPU = torch.device("cpu")


@dataclass
class _Progress:
    step: int = 0
    frames: int = 0


def report_line(line: str) -> None:
    """Prints a line of progress on standard error, at once."""
    print(line, file=sys.stderr, flush=True)


@dataclass
class Trainer:
    """A run from its first step, or from its last checkpoint, to the end of its schedule.

    ``maker`` gives the batches, ``validator`` (if any) the scores;
    ``precision`` is fp32 or bf16 here: what ``auto`` means is for the caller to say.
    """

    network_config: NetworkConfig
    config: TrainingConfig
    out: Path
    maker: BatchMaker
    validator: Validator | None = None
    start: Start | None = None
    notes: RunNotes = field(default_factory=RunNotes)
    device: torch.device = CPU
    report: Callable[[str], None] = report_line

    def __post_init__(self) -> None:
        self.out.mkdir(parents=True, exist_ok=True)
        self.folder = RunFolder(self.out)
        devices = 1 if self.device.index is None else [self.device.index]
        precision: Any = PRECISIONS[self.config.precision]
        self.fabric = Fabric(accelerator=self.device.type, devices=devices, precision=precision)
        torch.manual_seed(self.config.seed)
        network = Sam2Network(self.network_config).train()
        if self.start is not None:
            network.load_state_dict(self.start.tensors)
        self.method = method_of(self.config)
        objective = self.method.objective(network)
        optimizer = self.method.optimizer(objective)
        self.objective = objective
        self._wrapped, self.optimizer = self.fabric.setup(objective, optimizer)
        self.network = network
        self.average = WeightAverage(network, self.config.average_decay)
        self.average.network.to(self.fabric.device)
        self.progress = _Progress()
        self._without_number = 0
        self._saved_at = self._asked_at = time.monotonic()

    def resume(self) -> None:
        """Go on where the last checkpoint stopped.

        Raises InputError ``E_NO_CHECKPOINT`` where there is none, ``E_CHECKPOINT_BROKEN``, or ``E_CHECKPOINT_NETWORK``
        where it is of another network.
        """
        state = load_checkpoint(self.folder.checkpoint)
        try:
            self.objective.load_state_dict(state["objective"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.average.network.load_state_dict(state["average"])
        except (RuntimeError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise InputError(
                "E_CHECKPOINT_NETWORK",
                "The checkpoint {path} is of another network, or was trained in another way: resume it with the "
                "configuration it was begun with.",
                path=self.folder.checkpoint,
            ) from error
        self.progress = _Progress(state["step"], state["frames"])

    def run(self, stop_after_steps: int | None = None) -> Sam2Network:
        """Train to the end of the schedule, or for a number of further steps; returns the averaged network.

        Raises OutputError where a checkpoint cannot be saved, and MedSAM2Error ``E_NOT_FINITE`` where the loss stays
        without a number.
        """
        self.folder.describe(self.config, self.network_config, self.start, self.notes, self.progress.step)
        curve = Curve(self.out / "curve.csv", CURVE_COLUMNS, self.progress.step)
        scores = Curve(self.out / "validation.csv", VALIDATION_COLUMNS, self.progress.step)
        self._seconds()
        began = (time.monotonic(), self.progress.frames)
        for plan, batch in batches_ahead(
            self.maker, self._jobs(stop_after_steps), self.config.workers, self.fabric.device
        ):
            before = self.progress.frames
            row = self._step(plan, batch)
            curve.add(row)
            done = self.progress.frames >= self.config.schedule.frames
            if done or self._due(self.config.report_every, before):
                self.report(f"{_line(row, self.config.schedule.frames)}  {self._pace(*began)}")
            if self.validator is not None and (done or self._due(self.config.validate_every, before)):
                self._validate(self.validator, scores)
            if done or self._late() or self._due(self.config.checkpoint_every, before):
                self.save()
        plot_run(self.out, self.report)
        return self.average.network

    def _jobs(self, count: int | None) -> Iterator[Job]:
        """The coming steps with their plans: they follow from the frames seen, so workers may run ahead of the loop."""
        step, frames = self.progress.step, self.progress.frames
        last = None if count is None else step + count
        while frames < self.config.schedule.frames and step != last:
            plan = self.method.plan(step, frames)
            yield step, plan
            step, frames = step + 1, frames + plan.frames

    def _due(self, every: int, before: int) -> bool:
        return before // every != self.progress.frames // every

    def _seconds(self) -> float:
        """Wall time since it was asked last."""
        before, self._asked_at = self._asked_at, time.monotonic()
        return self._asked_at - before

    def _pace(self, began: float, frames: int) -> str:
        """How fast it goes, and how long it will still take."""
        speed = (self.progress.frames - frames) / max(time.monotonic() - began, 1e-6)
        left = max(0, self.config.schedule.frames - self.progress.frames) / speed
        return f"{speed:.1f} frames/s, {left / 60:.0f} min left"

    def _late(self) -> bool:
        return time.monotonic() - self._saved_at > 60 * self.config.checkpoint_minutes

    def _step(self, plan: StepPlan, batch: ClipBatch) -> dict[str, float | int]:
        """One optimiser step, left out where the gradient is no number; returns the row of the curve."""
        step, seen = self.progress.step, self.progress.frames
        rate = self.method.rate(step, seen)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group.get("rate_share", 1.0)
        rng = np.random.default_rng((self.config.seed, step, 23))
        # Not through Fabric's wrapper: it would round the prompts' coordinates to bf16 as well.
        with self.fabric.autocast():
            loss = self.objective(batch, plan.memory, rng)
        self.optimizer.zero_grad(set_to_none=True)
        self.fabric.backward(loss.total)
        limit = math.inf if self.config.gradient_limit is None else self.config.gradient_limit
        norm = self.fabric.clip_gradients(self._wrapped, self.optimizer, max_norm=limit, error_if_nonfinite=False)
        if norm is None or bool(torch.isfinite(norm)):
            self._without_number = 0
            self.optimizer.step()
            self.average.update(self.network, step)
        else:
            self._count_step_without_number(step)
        self.progress.step += 1
        self.progress.frames += plan.frames
        return self._row(step, plan, rate, loss, norm, self._seconds())

    def _count_step_without_number(self, step: int) -> None:
        self._without_number += 1
        if self._without_number >= LEAST_STEPS_WITHOUT_NUMBER:
            raise MedSAM2Error(
                "E_NOT_FINITE",
                "The loss or its gradient was no number in {count} steps in a row, up to step {step}: lower "
                "schedule.peak_rate or take precision fp32; the checkpoints before are kept.",
                count=self._without_number,
                step=step,
            )
        self.report(f"step {step}: the loss or its gradient is no number, the step is left out")

    def _row(
        self, step: int, plan: StepPlan, rate: float, loss: FrameLoss, norm: Tensor | None, seconds: float
    ) -> dict[str, float | int]:
        values: list[Any] = [loss.total, loss.mask, loss.iou, loss.score, loss.reached_iou, norm]
        numbers = [float("nan") if value is None else float(value.detach()) for value in values]
        columns: list[float | int] = [step, self.progress.frames, plan.clips.frames, rate, *numbers, seconds]
        return dict(zip(CURVE_COLUMNS, columns))

    def _validate(self, validator: Validator, scores: Curve) -> None:
        result = validator.score(self.average.network).as_dict()
        scores.add({"step": self.progress.step - 1, "frames": self.progress.frames, **result})
        plot_run(self.out, self.report)
        self.report("validation  " + "  ".join(f"{name} {value:.3f}" for name, value in result.items()))

    def save(self) -> None:
        """Write the checkpoint; raises OutputError, and the one before stays."""
        save_checkpoint(
            self.folder.checkpoint,
            {
                "objective": self.objective.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "average": self.average.network.state_dict(),
                "step": self.progress.step,
                "frames": self.progress.frames,
            },
        )
        self._saved_at = time.monotonic()


def _line(row: dict[str, float | int], frames: int) -> str:
    names = ("loss", "mask", "iou", "score", "reached_iou", "gradient", "seconds")
    done = f"{row['frames']:>7} of {frames} frames, {row['slices']} slices"
    return done + "  " + "  ".join(f"{name} {row[name]:.3f}" for name in names)
