"""The published SAM 2 video predictor (the ``sam2`` package), built small and seeded, as an oracle for our own network.

Its weights are random, with two nudges: 5 on the object score, else every slice says "no object", and 2 on the
predicted IoU of candidate 1, else rounding decides which candidate is taken. Nothing is downloaded.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from unittest.mock import patch

import pytest
import torch
from torch import Tensor

from MedSAM2Lib.network.config import HieraConfig, NetworkConfig, published_config
from MedSAM2Lib.network.sam2 import Sam2Network

CONFIG_NAMES = {"tiny": "t", "small": "s", "base-plus": "b+", "large": "l"}


@dataclass(frozen=True)
class ReferenceSize:
    """A network to build: a published size (``base``), shrunk by ``trunk`` values and ``memory_layers`` if given."""

    base: str = "tiny"
    embed_dim: int | None = None
    stages: tuple[int, int, int, int] | None = None
    global_blocks: tuple[int, ...] | None = None
    memory_layers: int = 4

    def overrides(self) -> list[str]:
        """Hydra overrides for the published configuration of ``base``."""
        trunk = "++model.image_encoder.trunk"
        changes = [f"++model.memory_attention.num_layers={self.memory_layers}"]
        if self.embed_dim is not None:
            widths = [self.embed_dim * factor for factor in (8, 4, 2, 1)]
            changes += [f"{trunk}.embed_dim={self.embed_dim}"]
            changes += [f"++model.image_encoder.neck.backbone_channel_list={widths}"]
        if self.stages is not None:
            changes += [f"{trunk}.stages={list(self.stages)}"]
        if self.global_blocks is not None:
            changes += [f"{trunk}.global_att_blocks={list(self.global_blocks)}"]
        return changes

    def network_config(self, sam_version: str, image_size: int) -> NetworkConfig:
        """The same network in our own words."""
        published = published_config(self.base, sam_version, image_size)
        encoder: HieraConfig = published.image_encoder
        if self.embed_dim is not None:
            encoder = replace(encoder, embed_dim=self.embed_dim)
        if self.stages is not None:
            encoder = replace(encoder, stages=self.stages)
        if self.global_blocks is not None:
            encoder = replace(encoder, global_blocks=self.global_blocks)
        return replace(published, image_encoder=encoder, memory_attention_layers=self.memory_layers)


SMALL = ReferenceSize(embed_dim=16, stages=(1, 1, 2, 1), global_blocks=(3,), memory_layers=2)
"""9 million parameters: built in a few seconds, a slice of 128 pixels takes about 0.1 s."""


def build_reference(
    size: ReferenceSize = SMALL, sam_version: str = "2.1", image_size: int = 128, seed: int = 0, device: str = "cpu"
) -> Any:
    """The published ``SAM2VideoPredictor`` in eval mode, with seeded random weights; skips the test without ``sam2``.

    Post-processing is as published (stability fallback, binarised masks of prompted slices), but holes stay unfilled:
    that needs a compiled extension. ``device="meta"`` gives shapes only.
    """
    pytest.importorskip("sam2")
    from sam2.build_sam import build_sam2_video_predictor

    prefix = "sam2.1" if sam_version == "2.1" else "sam2"
    torch.manual_seed(seed)
    # A list of stochastic depths is made of this one's values, which a tensor without data does not have.
    on_cpu = patch("torch.linspace", partial(torch.linspace, device="cpu"))
    with torch.device(device), on_cpu:
        predictor = build_sam2_video_predictor(
            f"configs/{prefix}/{prefix}_hiera_{CONFIG_NAMES[size.base]}.yaml",
            device=device,
            hydra_overrides_extra=[f"++model.image_size={image_size}", *size.overrides()],
        )
    predictor.fill_hole_area = 0
    with torch.no_grad():
        predictor.sam_mask_decoder.pred_obj_score_head.layers[-1].bias += 5
        predictor.sam_mask_decoder.iou_prediction_head.layers[-1].bias[1] += 2
    return predictor


def build_both(
    size: ReferenceSize = SMALL, sam_version: str = "2.1", image_size: int = 128, seed: int = 0
) -> tuple[Any, Sam2Network]:
    """The published predictor and our network with the same weights, both in eval mode."""
    predictor = build_reference(size, sam_version, image_size, seed)
    network = Sam2Network(size.network_config(sam_version, image_size))
    network.load_state_dict(predictor.state_dict())
    return predictor, network.eval()


@contextmanager
def feeding(pixels: Tensor, height: int | None = None, width: int | None = None) -> Iterator[None]:
    """While it lasts, ``predictor.init_state`` takes ``pixels [T, 3, S, S]`` (normalised) for any video path.

    ``height`` and ``width`` are what the predictor believes the video's size to be (S by default): prompts are given,
    and masks come back, in that size.
    """
    size = (height or pixels.shape[-2], width or pixels.shape[-1])
    with (
        patch("sam2.sam2_video_predictor.load_video_frames", lambda **_: (pixels, *size)),
        patch("sam2.sam2_video_predictor.tqdm", lambda steps, **_: steps),
    ):
        yield


def start_session(predictor: Any, pixels: Tensor, height: int | None = None, width: int | None = None) -> Any:
    """The predictor's inference state for a volume of slices ``[T, 3, S, S]``; see ``feeding`` for the sizes."""
    with feeding(pixels, height, width):
        return predictor.init_state("")


def propagate(predictor: Any, state: Any, start: int, reverse: bool = False) -> dict[int, Tensor]:
    """Mask logits by slice, ``[objects, 1, height, width]``, from ``start`` on, in the order they were computed."""
    with feeding(state["images"]):
        steps = predictor.propagate_in_video(state, start_frame_idx=start, reverse=reverse)
        return {index: logits.clone() for index, _, logits in steps}


def random_slices(count: int, image_size: int, seed: int = 0) -> Tensor:
    """Normalised pixels ``[count, 3, S, S]``: smooth, slowly changing noise, so that neighbours are alike."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(1, 3, max(count // 2, 2), 8, 8, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, size=(count, image_size, image_size), mode="trilinear")
    fine = torch.randn(count, 3, image_size, image_size, generator=generator)
    return smooth[0].transpose(0, 1) + 0.1 * fine
