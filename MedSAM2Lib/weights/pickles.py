"""Reading torch's pickled checkpoints without ever running what is in them."""

from __future__ import annotations

import itertools
import pickle
import pickletools
import re
import struct
import tarfile
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import torch

from MedSAM2Lib.errors import ModelError

ZIP_MAGIC = b"PK\x03\x04"
PICKLE_MAGIC = b"\x80"

# What the restricted unpickler raises on bytes that are no checkpoint, besides its own error for a refusal.
_MALFORMED = (
    RuntimeError,
    EOFError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    OverflowError,
    MemoryError,
    struct.error,
    zipfile.BadZipFile,
)
_TENSOR_NAMES = re.compile(r"collections\.OrderedDict|torch\.(_utils\.|storage\.|_tensor\.)?\w+")
# A checkpoint in torch's old format is five pickles in a row: magic number, version, system, tensors, storage keys.
_OLD_FORMAT_PICKLES = 5


def load_pickled(path: Path) -> object:
    """What torch saved in ``path``: tensors in plain containers, on the CPU, mapped from the file where possible.

    Only torch's restricted unpickler reads the file, which makes tensors and plain containers and calls nothing.

    Raises:
        ModelError: ``E_CHECKPOINT_UNSAFE`` if the file holds anything else, ``E_CHECKPOINT_BROKEN`` if it cannot be
            read to its end.
    """
    _refuse_program(path)
    # torch goes by the name where it ends in .safetensors, so such a file is handed over without its name.
    mapped = _is_zip(path) and path.suffix != ".safetensors"
    try:
        with path.open("rb") as file, warnings.catch_warnings():
            # torch warns of what it then refuses, or reads all the same
            warnings.filterwarnings("ignore", message="Detected pickle protocol", category=UserWarning)
            return torch.load(str(path) if mapped else file, map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError as error:
        names = _names_in(path)
        if names is None:
            raise broken(path, "its contents end too early or are garbled") from error
        raise _unsafe(path, f"it refers to {_listed(names)}" if names else "it is not made of tensors") from error
    except _MALFORMED as error:
        raise broken(path, _first_sentence(error)) from error


def broken(path: Path, reason: str) -> ModelError:
    """The error for a file that is no whole checkpoint; ``reason`` continues "cannot be read: "."""
    return ModelError(
        "E_CHECKPOINT_BROKEN",
        "The model file {path} cannot be read: {reason}. Download or copy it again.",
        path=path,
        reason=reason,
    )


def _unsafe(path: Path, reason: str) -> ModelError:
    return ModelError(
        "E_CHECKPOINT_UNSAFE",
        "The model file {path} was refused and nothing in it was run: {reason}, and a model may hold tensors only. "
        "Get the model from its publisher, or ask for it as .safetensors.",
        path=path,
        reason=reason,
    )


def _refuse_program(path: Path) -> None:
    """Refuses the two formats that older torch versions read without the restricted unpickler (CVE-2025-32434)."""
    if _is_zip(path):
        if any(name.endswith("/constants.pkl") or name == "constants.pkl" for name in _members(path)):
            raise _unsafe(path, "it is a TorchScript program")
    elif tarfile.is_tarfile(path):
        raise _unsafe(path, "it is a tar archive of an old torch version")


def _is_zip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(ZIP_MAGIC)) == ZIP_MAGIC


def _members(path: Path) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except _MALFORMED as error:
        raise broken(path, "its contents end too early or are garbled") from error


def _names_in(path: Path) -> list[str] | None:
    """Every function or class that the file's pickles name beyond those of tensors; None if they are not whole.

    The pickles are only listed, not executed.
    """
    try:
        if not _is_zip(path):
            with path.open("rb") as file:
                return _names_in_stream(file, _OLD_FORMAT_PICKLES)
        with zipfile.ZipFile(path) as archive:
            member = next(name for name in archive.namelist() if name.endswith("data.pkl"))
            with archive.open(member) as file:
                return _names_in_stream(file, 1)
    except (*_MALFORMED, StopIteration):
        return None


def _names_in_stream(file: IO[bytes], pickles: int) -> list[str]:
    foreign: dict[str, None] = {}
    for number in range(pickles):
        if number and not _more_in(file):
            break
        try:
            foreign.update((name, None) for name in _named_globals(file) if not _TENSOR_NAMES.fullmatch(name))
        except _MALFORMED:
            if not foreign:
                raise
            break
    return list(foreign)


def _more_in(file: IO[bytes]) -> bool:
    here = file.tell()
    more = bool(file.read(1))
    file.seek(here)
    return more


def _named_globals(file: IO[bytes]) -> Iterator[str]:
    recent: list[str] = []
    for opcode, argument, _ in pickletools.genops(file):
        if opcode.name in ("GLOBAL", "INST"):
            yield str(argument).replace(" ", ".")
        elif opcode.name == "STACK_GLOBAL":
            yield ".".join(recent[-2:])
        elif isinstance(argument, str):
            recent.append(argument)


def _listed(names: list[str]) -> str:
    shown = ", ".join(itertools.islice(names, 3))
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"


def _first_sentence(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
