"""Which network it is: the same weights have the same fingerprint, whatever file they came from."""

from __future__ import annotations

import hashlib

import torch

from MedSAM2Lib.network.sam2 import Sam2Network


def network_fingerprint(network: Sam2Network) -> str:
    """SHA-256 over the names, types, shapes and values of all weights, as hexadecimal."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
