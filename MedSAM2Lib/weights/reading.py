"""Tensors and metadata of a model file, whatever its format says or pretends to be."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from MedSAM2Lib.errors import ModelError
from MedSAM2Lib.weights.pickles import PICKLE_MAGIC, ZIP_MAGIC, broken, load_pickled

_INNER_KEYS = ("model", "state_dict", "model_state_dict")
_WRAPPERS = ("module", "_orig_mod", "model", "network")
_HEAD_BYTES = 512


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """All tensors of a checkpoint by name, on the CPU, and its metadata.

    ``.safetensors`` and torch's ``.pt``/``.pth`` are told apart by content, not by name. Of a pickled checkpoint the
    tensors are taken from ``model``, ``state_dict`` or ``model_state_dict`` if there is one, else from the top;
    everything else (optimizer, epoch) is ignored. Prefixes that wrap all names, such as ``module.``, are removed.
    The tensors may be mapped from the file: copy them to outlive it. No code in the file is ever run.

    Metadata are text: those of a ``.safetensors`` header, or the texts beside the tensors in a pickled checkpoint;
    a network's configuration as plain data under ``config`` is turned into JSON, any other ``config`` is left out.

    Raises:
        ModelError: ``E_CHECKPOINT_MISSING``, ``E_CHECKPOINT_BROKEN`` or ``E_CHECKPOINT_UNSAFE``.
    """
    head = _read_head(path)
    if head.startswith((ZIP_MAGIC, PICKLE_MAGIC)):
        tensors, metadata = _unpack(path, load_pickled(path))
    elif _looks_like_safetensors(head):
        tensors, metadata = _read_safetensors(path)
    else:
        raise broken(path, _what_it_is(head))
    if not tensors:
        raise broken(path, "it holds no tensors")
    return _without_wrappers(tensors), metadata


def _read_head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_HEAD_BYTES)
    except OSError as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: OSError) -> ModelError:
    """The error for a model file that the system does not let us read: missing, or for another reason."""
    if isinstance(error, FileNotFoundError):
        return ModelError(
            "E_CHECKPOINT_MISSING",
            "There is no model file {path}; check the path, or give a name from `medsam2 models list`.",
            path=path,
        )
    return ModelError(
        "E_CHECKPOINT_BROKEN",
        "The model file {path} cannot be read: {reason}. Check its permissions, and that it is a file.",
        path=path,
        reason=error.strerror or error,
    )


def _looks_like_safetensors(head: bytes) -> bool:
    return len(head) > 8 and head[8:9] == b"{" and not head.lstrip().startswith((b"<", b"{"))


def _what_it_is(head: bytes) -> str:
    text = head.lstrip().lower()
    if not head:
        return "it is empty"
    if text.startswith(b"version https://git-lfs"):
        return "it is only a Git LFS pointer, not the file itself (`git lfs pull` fetches that)"
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        return "it is a web page, saved instead of the model"
    if text.startswith(b"{"):
        return "it is a text of JSON, probably a server's answer saved instead of the model"
    return "it is neither a torch checkpoint nor a .safetensors file"


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise broken(path, f"its .safetensors contents are damaged ({error})") from error


def _unpack(path: Path, payload: object) -> tuple[dict[str, Tensor], dict[str, str]]:
    if not isinstance(payload, Mapping):
        raise broken(path, f"it holds a {type(payload).__name__} instead of named tensors")
    inner = next((payload[key] for key in _INNER_KEYS if isinstance(payload.get(key), Mapping)), payload)
    return _named_tensors(inner), _texts(payload)


def _named_tensors(mapping: Mapping[object, object]) -> dict[str, Tensor]:
    return {name: value for name, value in mapping.items() if isinstance(name, str) and isinstance(value, torch.Tensor)}


def _texts(payload: Mapping[object, object]) -> dict[str, str]:
    texts = {key: value for key, value in payload.items() if isinstance(key, str) and isinstance(value, str)}
    # Training scripts keep settings of their own under this name.
    texts.pop("config", None)
    config = payload.get("config")
    if isinstance(config, Mapping) and "image_encoder" in config:
        with suppress(TypeError, ValueError, RecursionError):
            texts["config"] = json.dumps(config)
    return texts


def _without_wrappers(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    first = next(iter(tensors)).split(".", 1)[0]
    while first in _WRAPPERS and all(name.startswith(first + ".") for name in tensors):
        tensors = {name[len(first) + 1 :]: tensor for name, tensor in tensors.items()}
        first = next(iter(tensors)).split(".", 1)[0]
    return tensors
