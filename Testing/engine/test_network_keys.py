"""Our state dict has the keys and shapes of the released checkpoints, for every size and version; without any data."""

from __future__ import annotations

import pytest
import torch

from MedSAM2Lib.network.config import published_config
from MedSAM2Lib.network.sam2 import Sam2Network
from Testing.engine.reference_sam2 import SMALL, ReferenceSize, build_reference

SIZES = ("tiny", "small", "base-plus", "large")
RELEASED_PARAMETERS = {"tiny": 38_962_754, "small": 46_060_610, "base-plus": 80_850_434, "large": 224_446_898}
ADDED_BY_2_1 = 16_512


def shapes_of(network: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    return {key: tuple(value.shape) for key, value in network.state_dict().items()}


@pytest.mark.parametrize("sam_version", ["2.0", "2.1"])
@pytest.mark.parametrize("size", SIZES)
def test_state_dict_has_the_published_keys_and_shapes(size: str, sam_version: str) -> None:
    published = build_reference(ReferenceSize(size), sam_version, image_size=1024, device="meta")
    with torch.device("meta"):
        network = Sam2Network(published_config(size, sam_version))
    assert shapes_of(network) == shapes_of(published)


@pytest.mark.parametrize("size", SIZES)
def test_value_counts_are_those_of_the_released_files(size: str) -> None:
    for sam_version, expected in (
        ("2.1", RELEASED_PARAMETERS[size]),
        ("2.0", RELEASED_PARAMETERS[size] - ADDED_BY_2_1),
    ):
        with torch.device("meta"):
            network = Sam2Network(published_config(size, sam_version))
        assert sum(value.numel() for value in network.state_dict().values()) == expected


def test_image_size_and_drawing_leave_the_state_dict_alone() -> None:
    with torch.device("meta"):
        shapes = [shapes_of(Sam2Network(SMALL.network_config("2.1", size))) for size in (128, 512)]
    assert shapes[0] == shapes[1]
