"""What the engine can run on here, and how fast it does. torch is imported when it is asked for."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from MedSAM2Lib.types import BoxPrompt, PropagationRequest, SegmentationEngine, StopRule
from MedSAM2Lib.volume.volume import Volume
from MedSAM2SlicerLib.setup.errors import SetupError

_SIDE, _SLICES = 96, 7
_RADIUS_SHARE = 0.25


@dataclass(frozen=True)
class DeviceState:
    """Something to compute on: torch's name for it, what it is called, and its memory in bytes where that is known.

    ``precisions`` are the ones that it is good for, ``fp32`` first.
    """

    name: str
    title: str
    memory_bytes: int | None
    free_bytes: int | None
    precisions: tuple[str, ...]

    @property
    def is_gpu(self) -> bool:
        return self.name != "cpu"


class Runner(Protocol):
    """Calls something on the engine's thread and gives what stands for its result, as ``Worker.submit`` does."""

    def __call__(self, work: Callable[[], Any]) -> Any: ...


def devices() -> tuple[DeviceState, ...]:
    """What is there, the one that ``auto`` takes first.

    Imports torch, which takes seconds the first time, and may start CUDA: call it on the engine's thread.

    Raises:
        SetupError: ``E_TORCH_MISSING`` or ``E_TORCH_BROKEN``.
    """
    torch = imported_torch()
    cpu = _cpu(torch)
    if torch.cuda.is_available():
        return (*(_cuda(torch, index) for index in range(torch.cuda.device_count())), cpu)
    if torch.backends.mps.is_available():
        return (DeviceState("mps", "Apple GPU", None, None, ("fp32",)), cpu)
    return (cpu,)


def imported_torch() -> Any:
    """The module torch.

    Raises:
        SetupError: ``E_TORCH_MISSING``, or ``E_TORCH_BROKEN`` where it is there and does not load.
    """
    try:
        import torch
    except ModuleNotFoundError as error:
        if error.name == "torch":
            raise SetupError(
                "E_TORCH_MISSING", "PyTorch is not installed; install it on the module's page Setup first."
            ) from None
        raise _broken(error) from error
    except (ImportError, OSError) as error:
        raise _broken(error) from error
    return torch


def seconds_per_slice(engine: SegmentationEngine) -> float:
    """Seconds that one slice takes, measured on a ball of 7 slices along one axis; loading and warming up not counted.

    Call it on the engine's thread. Raises what the engine raises.
    """
    radius = _RADIUS_SHARE * _SIDE
    middle = _SLICES // 2
    session = engine.open(_ball(radius))
    object_id = session.add_object("speed")
    low, high = _SIDE / 2 - radius, _SIDE / 2 + radius
    prompt = BoxPrompt((low, low, middle), (high, high, middle))
    session.add_prompt(object_id, prompt)
    session.preview(object_id, prompt.slice)
    results = session.propagate(PropagationRequest(stop=StopRule(enabled=False)))
    next(results)
    start = time.perf_counter()
    count = sum(1 for _ in results)
    return (time.perf_counter() - start) / max(count, 1)


def measure(engine: SegmentationEngine, runner: Runner) -> Any:
    """Measures on the engine's thread; returns what the runner does, as a rule a job whose result are the seconds."""
    return runner(lambda: seconds_per_slice(engine))


def _cpu(torch: Any) -> DeviceState:
    threads = torch.get_num_threads()
    title = f"CPU, {threads} thread{'s' if threads != 1 else ''}"
    return DeviceState("cpu", title, _host_memory("SC_PHYS_PAGES"), _host_memory("SC_AVPHYS_PAGES"), ("fp32", "bf16"))


def _cuda(torch: Any, index: int) -> DeviceState:
    free, total = torch.cuda.mem_get_info(index)
    precisions = ("fp32", "bf16") if torch.cuda.is_bf16_supported() else ("fp32",)
    return DeviceState(f"cuda:{index}", torch.cuda.get_device_name(index), total, free, precisions)


def _host_memory(pages: str) -> int | None:
    """Bytes of so many pages, where the system tells."""
    try:
        return os.sysconf(pages) * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


def _ball(radius: float) -> Volume:
    """A bright ball in noise, [7, 96, 96]."""
    rng = np.random.default_rng(0)
    k, j, i = np.mgrid[:_SLICES, :_SIDE, :_SIDE]
    flat = (k - _SLICES // 2) * (radius / _SLICES)
    inside = flat**2 + (j - _SIDE / 2) ** 2 + (i - _SIDE / 2) ** 2 < radius**2
    grey = np.where(inside, 100.0, 0.0) + rng.normal(0.0, 10.0, inside.shape)
    return Volume.from_array(grey.astype(np.int16), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), name="speed")


def _broken(error: Exception) -> SetupError:
    return SetupError(
        "E_TORCH_BROKEN",
        "PyTorch is installed and does not load ({reason}); uninstall it in the module PyTorch Utils, restart Slicer, "
        "and install it again.",
        reason=error,
    )
