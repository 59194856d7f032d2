"""From a name or a path to a network that is ready to run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from MedSAM2Lib.errors import ModelError
from MedSAM2Lib.network.config import NetworkConfig
from MedSAM2Lib.network.sam2 import Sam2Network
from MedSAM2Lib.weights.architecture import DEFAULT_IMAGE_SIZE, infer_config
from MedSAM2Lib.weights.catalogue import (
    ModelEntry,
    default_models_folder,
    find_entry,
    model_path,
    read_catalogue,
)
from MedSAM2Lib.weights.checksums import verified_checksum
from MedSAM2Lib.weights.key_names import to_official
from MedSAM2Lib.weights.reading import read_tensors, unreadable

_NAMED_IN_MESSAGE = 3


@dataclass(frozen=True)
class LoadedModel:
    """A network in evaluation mode, without gradients, and where it came from.

    ``name`` is the catalogue's, or the file's name without its suffix; ``checksum`` the file's SHA-256.
    """

    network: Sam2Network
    config: NetworkConfig
    name: str
    path: Path
    checksum: str


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that fits its network: tensors by official name, on the CPU, possibly mapped from the file."""

    path: Path
    tensors: dict[str, Tensor]
    config: NetworkConfig


def load_network(
    source: str | Path,
    *,
    image_size: int | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    models_folder: Path | None = None,
) -> LoadedModel:
    """Loads a SAM 2 network.

    Args:
        source: ``"embedded"``, a name of the catalogue, or the path of a checkpoint.
        image_size: side of the network's input in pixels; by default that of the file's metadata, else that of the
            catalogue (where the file is one of its), else 1024.
        device: where the network is put.
        dtype: of all its floating-point tensors, whatever the file has.
        models_folder: where downloaded models are; the default folder if None.

    Raises:
        ModelError: ``E_MODEL_UNKNOWN``, ``E_MODEL_NOT_INSTALLED``, ``E_CHECKSUM``, or as ``open_checkpoint`` raises.
    """
    path, entry = _locate(source, models_folder or default_models_folder())
    checksum = _checksum(path, entry)
    catalogue = read_catalogue()
    entry = entry or next((known for known in catalogue if known.sha256 == checksum), None)
    checkpoint = open_checkpoint(path, image_size, _usual_image_size(entry, path, catalogue))
    network = _build(checkpoint, torch.device(device), dtype)
    return LoadedModel(network, checkpoint.config, entry.name if entry else path.stem, path, checksum)


def open_checkpoint(
    path: Path, image_size: int | None = None, default_image_size: int = DEFAULT_IMAGE_SIZE
) -> Checkpoint:
    """Reads a checkpoint and makes sure that a network can be built from it, without building one.

    Raises:
        ModelError: ``E_CHECKPOINT_MISSING``, ``_BROKEN``, ``_UNSAFE``, ``_ARCHITECTURE``, ``_CONFIG``, ``_TENSORS``,
            or ``E_IMAGE_SIZE``.
    """
    tensors, metadata = read_tensors(path)
    tensors = to_official(tensors)
    config = infer_config(tensors, metadata, image_size, default_image_size, path)
    _check_tensors(tensors, _skeleton(config).state_dict(), path)
    return Checkpoint(path, tensors, config)


def check_model(entry: ModelEntry, models_folder: Path) -> Checkpoint:
    """Verifies an installed model of the catalogue: its checksum, and that a network can be built from it.

    Raises:
        ModelError: as ``load_network`` raises.
    """
    path, _ = _locate(entry.name, models_folder)
    _checksum(path, entry)
    return open_checkpoint(path, default_image_size=entry.image_size)


def _checksum(path: Path, entry: ModelEntry | None) -> str:
    try:
        if entry is not None and entry.is_embedded:
            return verified_checksum(path, entry.sha256, "install MedSAM2Slicer again, or choose another model")
        return verified_checksum(path, entry.sha256 if entry else None)
    except OSError as error:
        raise unreadable(path, error) from error


def _locate(source: str | Path, models_folder: Path) -> tuple[Path, ModelEntry | None]:
    path = Path(source).expanduser()
    is_path = isinstance(source, Path) or path.is_file() or path.suffix in (".pt", ".pth", ".safetensors")
    if is_path or len(path.parts) > 1:
        return path, None
    entry = find_entry(str(source), read_catalogue())
    path = model_path(entry, models_folder)
    if path.is_file():
        return path, entry
    if entry.is_embedded:
        advice = "this installation came without it: install MedSAM2Slicer again, or choose another model"
    else:
        advice = f"it is not in {models_folder}: `medsam2 models download {entry.name}` fetches it"
    raise ModelError(
        "E_MODEL_NOT_INSTALLED",
        "The model {name} is not installed; {advice}.",
        name=entry.name,
        folder=models_folder,
        advice=advice,
    )


def _usual_image_size(entry: ModelEntry | None, path: Path, catalogue: Iterable[ModelEntry]) -> int:
    """The side that the catalogue gives for a model, or for the file name of one (as of a copy trained further)."""
    named = entry or next((known for known in catalogue if known.file == path.name), None)
    return named.image_size if named else DEFAULT_IMAGE_SIZE


def _skeleton(config: NetworkConfig) -> Sam2Network:
    """The network without memory for its weights."""
    with torch.device("meta"), _NoRandomNumbers():
        return Sam2Network(config)


class _NoRandomNumbers(TorchFunctionMode):
    """Skips the initial weights: for the meta device torch would import over a second's worth of modules for them."""

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if function is torch.nn.init.normal_ or function is torch.Tensor.normal_:
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        if function is torch.randn:
            function = torch.empty
        return function(*args, **kwargs)


def _build(checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype) -> Sam2Network:
    network = _skeleton(checkpoint.config)
    weights = {}
    while checkpoint.tensors:
        name, tensor = checkpoint.tensors.popitem()
        kind = dtype if tensor.is_floating_point() else tensor.dtype
        # A copy: a tensor mapped from the file would keep it open and change with it.
        weights[name] = tensor.detach().to(device, kind, copy=True)
    network.load_state_dict(weights, assign=True)
    return network.eval().requires_grad_(False)


def _check_tensors(found: Mapping[str, Tensor], expected: Mapping[str, Tensor], path: Path) -> None:
    missing = [name for name in expected if name not in found]
    unexpected = [name for name in found if name not in expected]
    misshapen = [
        f"{name} {list(found[name].shape)} instead of {list(expected[name].shape)}"
        for name in expected
        if name in found and found[name].shape != expected[name].shape
    ]
    problems = [
        f"{len(names)} {what} ({_first(names)})"
        for what, names in (("missing", missing), ("unexpected", unexpected), ("of the wrong shape", misshapen))
        if names
    ]
    if problems:
        raise ModelError(
            "E_CHECKPOINT_TENSORS",
            "The model file {path} does not hold the tensors of a SAM 2 network: {problems}. "
            "Get it again, or choose another model.",
            path=path,
            problems="; ".join(problems),
            missing=missing,
            unexpected=unexpected,
            misshapen=misshapen,
        )


def _first(names: Sequence[str]) -> str:
    return ", ".join([*names[:_NAMED_IN_MESSAGE], *(["..."] if len(names) > _NAMED_IN_MESSAGE else [])])
