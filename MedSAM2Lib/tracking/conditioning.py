"""From what a bank selects to the tokens that memory attention reads (SAM 2, sections 4 and C of arXiv 2408.00714)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from MedSAM2Lib.memory.bank import MemorySelection
from MedSAM2Lib.network.memory_attention import MemorySequence
from MedSAM2Lib.network.sam2 import Sam2Network


def memory_sequence(network: Sam2Network, selections: Sequence[MemorySelection], dtype: torch.dtype) -> MemorySequence:
    """One batch of sequences, [B, M, Cm] each: map tokens first, pointer tokens last.

    All selections must hold as many maps and as many pointers as the first one.
    """
    parts = [_one_sequence(network, selection) for selection in selections]
    tokens = torch.cat([part[0] for part in parts]).to(dtype)
    positions = torch.cat([part[1] for part in parts]).to(dtype)
    config = network.config
    pointer_tokens = len(selections[0].pointers) * (config.model_dim // config.memory_dim)
    return MemorySequence(tokens, positions, pointer_tokens)


def _one_sequence(network: Sam2Network, selection: MemorySelection) -> tuple[Tensor, Tensor]:
    maps = [shown.entry.map.flatten(2).transpose(1, 2).float() for shown in selection.maps]
    places = [network.map_positions(shown.temporal_row)[None].float() for shown in selection.maps]
    if selection.pointers:
        pointers = torch.cat([shown.entry.pointer for shown in selection.pointers])[None].float()
        distances = torch.tensor([float(shown.distance) for shown in selection.pointers], device=pointers.device)
        tokens, positions = network.pointer_tokens(pointers, distances, selection.pointer_limit)
        maps.append(tokens.float())
        places.append(positions.float())
    return torch.cat(maps, dim=1), torch.cat(places, dim=1)
