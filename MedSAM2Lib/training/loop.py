"""The training loop: device, precision and checkpoints by Lightning Fabric, everything else plain.

A run writes into its folder: ``run.json`` (what was asked for), ``last.ckpt`` (network, average, optimiser, step:
enough to go on exactly), ``curve.csv`` (every step) and ``validation.csv``.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.fabric import Fabric
from torch import Tensor, nn

from MedSAM2Lib.errors import InputError
from MedSAM2Lib.network.config import NetworkConfig
from MedSAM2Lib.network.sam2 import Sam2Network
from MedSAM2Lib.training.averaging import WeightAverage
from MedSAM2Lib.training.clips import ClipBatch, ClipMaker
from MedSAM2Lib.training.curve import Curve
from MedSAM2Lib.training.losses import FrameLoss, frame_loss
from MedSAM2Lib.training.muon import MuonAdamW
from MedSAM2Lib.training.sampling import Body
from MedSAM2Lib.training.schedule import ScheduleConfig, StepPlan, learning_rate, step_plan
from MedSAM2Lib.training.starting import Start
from MedSAM2Lib.training.unroll import ClipUnroller, MemoryPlan
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
CHECKPOINT_NAME = "last.ckpt"
RUN_NAME = "run.json"
VALIDATION_COLUMNS = ("step", "frames", *Validation.__dataclass_fields__)


@dataclass(frozen=True)
class RunConfig:
    """One run: where it writes, its seed, its schedule; ``*_every`` count frames, ``command`` is only noted down.

    It is saved after ``checkpoint_every`` frames or ``checkpoint_minutes``, whichever comes first.
    """

    out: Path
    schedule: ScheduleConfig
    seed: int = 0
    checkpoint_every: int = 2500
    checkpoint_minutes: float = 2.0
    validate_every: int = 4000
    report_every: int = 600
    gradient_limit: float = 1.0
    accelerator: str = "cpu"
    precision: str = "32-true"
    command: str = ""


class ClipObjective(nn.Module):
    """The network with its loss, so that one ``forward`` is one training step's graph."""

    def __init__(self, network: Sam2Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, batch: ClipBatch, plan: MemoryPlan, rng: np.random.Generator) -> FrameLoss:
        """The mean loss over a batch's decoded slices; slices whose mask was given do not count."""
        results = ClipUnroller(self.network, batch, plan, rng).run()
        losses = [frame_loss(result.decoding, result.truth) for result in results if not result.given]
        parts = zip(*((loss.mask, loss.iou, loss.score, loss.reached_iou) for loss in losses))
        return FrameLoss(*(torch.stack(part).mean() for part in parts))


@dataclass
class _Progress:
    step: int = 0
    frames: int = 0


@dataclass
class Trainer:
    """A run from its first step, or from its last checkpoint, to the end of its schedule."""

    network_config: NetworkConfig
    config: RunConfig
    bodies: Sequence[Body]
    held_out: Sequence[Body]
    start: Start | None = None
    report: Callable[[str], None] = field(default=lambda line: print(line, file=sys.stderr, flush=True))

    def __post_init__(self) -> None:
        self.config.out.mkdir(parents=True, exist_ok=True)
        self.fabric = Fabric(accelerator=self.config.accelerator, devices=1, precision=self.config.precision)  # type: ignore[arg-type]
        torch.manual_seed(self.config.seed)
        network = Sam2Network(self.network_config).train()
        if self.start is not None:
            network.load_state_dict(self.start.tensors)
        objective = ClipObjective(network)
        optimizer = MuonAdamW.for_module(objective, self.config.schedule.peak_rate)
        self.objective, self.optimizer = self.fabric.setup(objective, optimizer)
        self.network = network
        self.average = WeightAverage(network)
        self.average.network.to(self.fabric.device)
        self.progress = _Progress()
        self._saved_at = time.monotonic()
        self.maker = ClipMaker(self.bodies, self.network_config.image_size, self.config.seed)

    @property
    def checkpoint(self) -> Path:
        """The run's last checkpoint."""
        return self.config.out / CHECKPOINT_NAME

    def resume(self) -> None:
        """Go on where the last checkpoint stopped; raises InputError ``E_NO_CHECKPOINT`` where there is none."""
        if not self.checkpoint.exists():
            raise InputError(
                "E_NO_CHECKPOINT",
                "There is no checkpoint {path} to resume from: leave out --resume, or give the run's own folder.",
                path=self.checkpoint,
            )
        state = self._state()
        self.fabric.load(self.checkpoint, state)
        self.progress = _Progress(int(state["step"]), int(state["frames"]))

    def run(self, stop_after_steps: int | None = None) -> Sam2Network:
        """Train to the end of the schedule, or for a number of further steps; returns the averaged network."""
        self._describe()
        validator = Validator(self.held_out, self.network_config.image_size) if self.held_out else None
        curve = Curve(self.config.out / "curve.csv", CURVE_COLUMNS, self.progress.step)
        scores = Curve(self.config.out / "validation.csv", VALIDATION_COLUMNS, self.progress.step)
        last_step = None if stop_after_steps is None else self.progress.step + stop_after_steps
        while self.progress.frames < self.config.schedule.frames and self.progress.step != last_step:
            before = self.progress.frames
            row = self._step()
            curve.add(row)
            done = self.progress.frames >= self.config.schedule.frames
            if self._due(self.config.report_every, before):
                self.report(_line(row, self.config.schedule.frames))
            if validator is not None and (done or self._due(self.config.validate_every, before)):
                self._validate(validator, scores)
            late = time.monotonic() - self._saved_at > 60 * self.config.checkpoint_minutes
            if done or late or self._due(self.config.checkpoint_every, before):
                self.save()
        return self.average.network

    def _describe(self) -> None:
        """Note down what this run is, also its planned length and every change of it, for whoever repeats it."""
        path = self.config.out / RUN_NAME
        plan = {"from_step": self.progress.step, "frames": self.config.schedule.frames}
        plans = json.loads(path.read_text())["plans"] if self.progress.step and path.exists() else []
        described = {
            "command": self.config.command,
            "seed": self.config.seed,
            "bodies": len(self.bodies),
            "start": None if self.start is None else {"name": self.start.name, "sha256": self.start.checksum},
            "plans": plans if plans and plans[-1]["frames"] == plan["frames"] else [*plans, plan],
            "schedule": asdict(self.config.schedule),
            "network": self.network_config.to_dict(),
        }
        path.write_text(json.dumps(described, indent=1))

    def _due(self, every: int, before: int) -> bool:
        return before // every != self.progress.frames // every

    def _step(self) -> dict[str, float | int]:
        """One optimiser step; returns the row of the curve."""
        started = time.monotonic()
        step, seen = self.progress.step, self.progress.frames
        plan = step_plan(self.config.schedule, self.config.seed, step, seen)
        rate = learning_rate(self.config.schedule, step, seen)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        batch = self.maker.make(plan.clips, step).to(self.fabric.device)
        rng = np.random.default_rng((self.config.seed, step, 23))
        loss = self.objective(batch, plan.memory, rng)
        self.optimizer.zero_grad(set_to_none=True)
        self.fabric.backward(loss.total)
        limit = self.config.gradient_limit
        norm = self.fabric.clip_gradients(self.objective, self.optimizer, max_norm=limit, error_if_nonfinite=True)
        self.optimizer.step()
        self.average.update(self.network, step)
        self.progress.step += 1
        self.progress.frames += plan.frames
        return self._row(step, plan, rate, loss, norm, time.monotonic() - started)

    def _row(
        self, step: int, plan: StepPlan, rate: float, loss: FrameLoss, norm: Tensor | None, seconds: float
    ) -> dict[str, float | int]:
        values: list[Any] = [loss.total, loss.mask, loss.iou, loss.score, loss.reached_iou, norm]
        numbers = [float("nan") if value is None else float(value.detach()) for value in values]
        columns: list[float | int] = [step, self.progress.frames, plan.clips.frames, rate, *numbers, seconds]
        return dict(zip(CURVE_COLUMNS, columns))

    def _validate(self, validator: Validator, scores: Curve) -> None:
        network = self.average.network
        result = validator.score(network).as_dict()
        scores.add({"step": self.progress.step - 1, "frames": self.progress.frames, **result})
        self.report("validation  " + "  ".join(f"{name} {value:.3f}" for name, value in result.items()))

    def _state(self) -> dict[str, Any]:
        return {
            "objective": self.objective,
            "optimizer": self.optimizer,
            "average": self.average.network,
            "step": self.progress.step,
            "frames": self.progress.frames,
        }

    def save(self) -> None:
        """Write the checkpoint; the one before stays until the new one is complete."""
        part = self.checkpoint.with_suffix(".part")
        self.fabric.save(part, self._state())
        part.replace(self.checkpoint)
        self._saved_at = time.monotonic()


def _line(row: dict[str, float | int], frames: int) -> str:
    names = ("loss", "mask", "iou", "score", "reached_iou", "gradient", "seconds")
    done = f"{row['frames']:>7} of {frames} frames, {row['slices']} slices"
    return done + "  " + "  ".join(f"{name} {row[name]:.3f}" for name in names)
