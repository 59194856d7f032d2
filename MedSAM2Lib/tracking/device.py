"""Where and how the network runs: the device, the precision, and what happens when memory runs out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TypeVar

import torch

from MedSAM2Lib.errors import DeviceError

Result = TypeVar("Result")

_OUT_OF_MEMORY_WORDS = ("can't allocate memory", "out of memory", "not enough memory", "ALLOC_FAILED")
_PROBE_SIDE = 512
_PROBE_REPEATS = 5
_BF16_MUST_BE_FASTER_BY = 1.3


@dataclass
class ExecutionContext:
    """A device, a precision, and the limits found while running; shared by everything that calls the network.

    ``dtype`` is ``torch.float32`` or ``torch.bfloat16``. ``batch_limit`` is how many slices go through the network at
    once: 1 on a CPU, where batching does not pay. ``notices`` collects sentences for the user, each once.
    """

    device: torch.device
    dtype: torch.dtype
    batch_limit: int = 1
    notices: list[str] = field(default_factory=list)

    def autocast(self) -> AbstractContextManager[object]:
        """The context in which the network is called: autocast for bf16, nothing for fp32."""
        if self.dtype == torch.float32:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=self.dtype)

    def notice(self, sentence: str) -> None:
        """Keeps a sentence for the user, once."""
        if sentence not in self.notices:
            self.notices.append(sentence)

    def retry_with_less_memory(self, step: Callable[[], Result], free_memory: Callable[[], bool]) -> Result:
        """Runs ``step``; when the device is out of memory, frees some and tries again, then with smaller batches.

        ``free_memory`` moves cached features to the host and says whether it found any. Raises DeviceError
        ``E_DEVICE_MEMORY`` when nothing is left to free.
        """
        while True:
            try:
                return step()
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            # Outside the except block, whose traceback would keep the failed step's tensors alive.
            if not self._make_room(free_memory):
                raise no_memory(self.device)

    def _make_room(self, free_memory: Callable[[], bool]) -> bool:
        if free_memory():
            self.notice(f"{self.device} ran out of memory: image features now wait in the host's memory.")
        elif self.batch_limit > 1:
            self.batch_limit = max(1, self.batch_limit // 2)
            self.notice(f"{self.device} ran out of memory: at most {self.batch_limit} slices are computed at once.")
        else:
            return False
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        return True


@contextmanager
def telling_no_memory(device: torch.device) -> Iterator[None]:
    """Where memory runs out in the block, DeviceError ``E_DEVICE_MEMORY`` is raised; other errors pass."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if is_out_of_memory(error):
            raise no_memory(device) from None
        raise


def no_memory(device: torch.device) -> DeviceError:
    """The error of a device that cannot even hold one slice."""
    return DeviceError(
        "E_DEVICE_MEMORY",
        "The device {device} has no memory left for one slice: close other programs that use it, "
        "or choose a smaller --image-size, a smaller model or another --device.",
        device=device,
    )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out; a CPU and mps say so in words only."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _OUT_OF_MEMORY_WORDS)


def choose_device(name: str) -> torch.device:
    """The device called ``cpu``, ``cuda``, ``cuda:N``, ``mps`` or ``auto`` (the best there is).

    Raises DeviceError ``E_DEVICE_ABSENT`` for one that is not there.
    """
    has_mps = torch.backends.mps.is_available()
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if has_mps else "cpu")
    kind, colon, number = name.partition(":")
    present = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(has_mps)}
    if kind not in present or (colon and not (number.isascii() and number.isdecimal())):
        raise DeviceError(
            "E_DEVICE_UNKNOWN", "There is no kind of device called '{name}': use cpu, cuda, mps or auto.", name=name
        )
    if int(number or 0) >= present[kind]:
        available = [kind for kind, count in present.items() if count]
        raise DeviceError(
            "E_DEVICE_ABSENT",
            "The device '{name}' is not on this machine; available: {available}. Use --device auto to take the best.",
            name=name,
            available=", ".join(available),
        )
    return torch.device(name)


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """``fp32``, ``bf16``, or for ``auto`` the faster of both by a short self-measurement (fp16 is never used).

    bf16 must win clearly, since it costs accuracy; on mps only fp32 is used.
    """
    if name == "fp32":
        return torch.float32
    if name == "bf16":
        return torch.bfloat16
    if device.type == "mps":
        return torch.float32
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    return torch.bfloat16 if _bf16_speedup(device) > _BF16_MUST_BE_FASTER_BY else torch.float32


def execution_context(device: str = "auto", precision: str = "auto") -> ExecutionContext:
    """The context for a device and a precision by name."""
    chosen = choose_device(device)
    batch_limit = 1 if chosen.type == "cpu" else 16
    return ExecutionContext(chosen, choose_precision(precision, chosen), batch_limit)


def _bf16_speedup(device: torch.device) -> float:
    """How many times faster a matrix product is in bf16 than in fp32: best of several, interleaved, after a warm-up."""
    best = {torch.float32: float("inf"), torch.bfloat16: float("inf")}
    matrices = {dtype: torch.ones(_PROBE_SIDE, _PROBE_SIDE, device=device, dtype=dtype) for dtype in best}
    for repeat in range(_PROBE_REPEATS + 1):
        for dtype, matrix in matrices.items():
            start = time.perf_counter()
            torch.mm(matrix, matrix)
            if repeat:
                best[dtype] = min(best[dtype], time.perf_counter() - start)
    return best[torch.float32] / best[torch.bfloat16]
