"""Our own checkpoints: .safetensors with the network's configuration in the metadata."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from MedSAM2Lib.errors import OutputError
from MedSAM2Lib.network.sam2 import Sam2Network
from MedSAM2Lib.weights.architecture import CONFIG_KEY


def save_network(
    network: Sam2Network, path: Path, dtype: torch.dtype = torch.float16, notes: Mapping[str, str] | None = None
) -> None:
    """Writes a network so that ``load_network`` needs nothing but the file; ``path`` appears only when it is whole.

    Args:
        dtype: of the stored floating-point tensors; ``float16`` halves the file and is read back as float32.
        notes: further metadata, such as the training's data and date.

    Raises:
        ValueError: if a weight does not fit ``dtype`` (it would become infinite).
        OutputError: ``E_OUTPUT_NOT_WRITTEN``.
    """
    tensors = {}
    for name, tensor in network.state_dict().items():
        stored = tensor.detach().to("cpu", dtype) if tensor.is_floating_point() else tensor.detach().cpu()
        if not torch.isfinite(stored).all():
            raise ValueError(f"{name} has values that {dtype} cannot hold")
        tensors[name] = stored.contiguous()
    metadata = {"format": "pt", CONFIG_KEY: json.dumps(network.config.to_dict()), **(notes or {})}
    partial = path.with_name(path.name + ".part")
    try:
        save_file(tensors, partial, metadata)
        partial.chmod(0o644)  # safetensors makes it readable by its owner only
        partial.replace(path)
    except (OSError, SafetensorError) as error:
        partial.unlink(missing_ok=True)
        raise OutputError(
            "E_OUTPUT_NOT_WRITTEN",
            "The model file {path} could not be written ({reason}); check the folder and the space on its disk.",
            path=path,
            reason=error,
        ) from error
