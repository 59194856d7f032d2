"""Our tracker against transformers' ``Sam2VideoModel``, an implementation apart from the published predictor.

Theirs goes forward and backward in two fresh sessions; ours goes both ways in one pass.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from torch import Tensor
from torch.nn import functional

from MedSAM2Lib.network.sam2 import Sam2Network
from MedSAM2Lib.tracking.runner import NetworkPrompts
from MedSAM2Lib.weights.key_names import to_official
from Testing.engine.reference_sam2 import SMALL, random_slices
from Testing.engine.reference_tracking import box, click, our_logits
from Testing.engine.reference_transformers import SIDE, build_video_model, listen_to_memory, propagate_points

pytestmark = pytest.mark.long

START, EACH_WAY = 7, 7
SIGN_AGREEMENT = 0.9999
TOLERANCE = 1e-4
"""Largest difference of logits, as a share of the slice's largest logit."""

PROMPTS = {"click": click(60, 70), "box": box(30, 40, 90, 100)}


def both(sam_version: str) -> tuple[Any, Sam2Network]:
    """Their model and our network, with the same weights."""
    model = listen_to_memory(build_video_model(sam_version))
    network = Sam2Network(SMALL.network_config(sam_version, SIDE))
    network.load_state_dict(to_official(model.state_dict()), strict=True)
    return model, network.eval()


def their_logits(model: Any, pixels: Tensor, prompt: NetworkPrompts) -> dict[int, Tensor]:
    forward, backward = (
        propagate_points(model, pixels, START, prompt.coordinates, prompt.labels, reverse) for reverse in (False, True)
    )
    assert sorted(forward) == list(range(START, START + EACH_WAY + 1))
    assert sorted(backward) == list(range(START + 1))
    return {**backward, **forward}


def sign_agreement(ours: Tensor, theirs: Tensor) -> float:
    """The share of pixels with equal sign at full size."""
    full = [
        functional.interpolate(logits, size=(SIDE, SIDE), mode="bilinear", align_corners=False)
        for logits in (ours, theirs)
    ]
    return float(((full[0] > 0) == (full[1] > 0)).float().mean())


def largest_difference(ours: dict[int, Tensor], theirs: dict[int, Tensor]) -> float:
    assert sorted(ours) == sorted(theirs)
    return max(float((ours[index] - logits).abs().max() / logits.abs().max()) for index, logits in theirs.items())


@pytest.mark.parametrize("kind", PROMPTS)
@pytest.mark.parametrize("sam_version", ["2.0", "2.1"])
def test_logits_equal_those_of_transformers_on_every_slice_both_ways(sam_version: str, kind: str) -> None:
    model, network = both(sam_version)
    pixels = random_slices(2 * EACH_WAY + 1, SIDE)
    theirs = their_logits(model, pixels, PROMPTS[kind])
    ours = our_logits(network, pixels, {START: [PROMPTS[kind]]})
    for index, logits in theirs.items():
        assert 0.02 < float((logits > 0).float().mean()) < 0.98, "the reference must see an object that has an outline"
        assert sign_agreement(ours[index], logits) > SIGN_AGREEMENT, index
    assert largest_difference(ours, theirs) <= TOLERANCE


def one_row_off(real: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda network, row: real(network, max(0, row - 1))


def one_slice_further(real: Callable[..., Any]) -> Callable[..., Any]:
    return lambda network, pointers, distances, limit: real(network, pointers, distances + 1, limit)


@pytest.mark.parametrize(("method", "wrong"), [("map_positions", one_row_off), ("pointer_tokens", one_slice_further)])
def test_the_comparison_notices_a_memory_that_is_one_slice_off(
    monkeypatch: pytest.MonkeyPatch, method: str, wrong: Callable[..., Any]
) -> None:
    model, network = both("2.1")
    pixels = random_slices(2 * EACH_WAY + 1, SIDE)
    theirs = their_logits(model, pixels, PROMPTS["click"])
    monkeypatch.setattr(Sam2Network, method, wrong(getattr(Sam2Network, method)))
    assert largest_difference(our_logits(network, pixels, {START: [PROMPTS["click"]]}), theirs) > 5 * TOLERANCE
