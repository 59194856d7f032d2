"""Starting weights: another model's tensors, which must fit the network that is trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from MedSAM2Lib.errors import InputError
from MedSAM2Lib.network.config import NetworkConfig
from MedSAM2Lib.network.sam2 import Sam2Network
from MedSAM2Lib.weights.loading import LoadedModel


@dataclass(frozen=True)
class Start:
    """Where a run's weights come from; ``checksum`` is the file's SHA-256."""

    name: str
    checksum: str
    config: NetworkConfig
    tensors: Mapping[str, Tensor]

    @staticmethod
    def of(model: LoadedModel) -> Start:
        """The weights of a loaded model."""
        return Start(model.name, model.checksum, model.config, model.network.state_dict())


def fitting_start(network: NetworkConfig, start: Start) -> NetworkConfig:
    """The network's configuration, after a look whether every tensor of ``start`` fits it.

    Raises InputError ``E_START_NETWORK``, naming the first tensor that does not.
    """
    expected = Sam2Network(network).state_dict()
    for name in sorted(expected.keys() | start.tensors.keys()):
        wanted, found = (list(table[name].shape) if name in table else None for table in (expected, start.tensors))
        if wanted != found:
            raise InputError(
                "E_START_NETWORK",
                "The weights of {name} do not fit the configuration's network ({tensor} is {found}, not {wanted}): "
                "take the network out of the configuration, or choose other weights.",
                name=start.name,
                tensor=name,
                found=found or "absent",
                wanted=wanted or "absent",
            )
    return network
