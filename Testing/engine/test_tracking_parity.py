"""Our tracker against the published video predictor, on the same random weights: the same masks, slice by slice."""

from __future__ import annotations

import pytest

from Testing.engine import reference_sam2 as reference
from Testing.engine.reference_tracking import box, least_agreement, our_logits, prompts_for, their_logits

SIGN_AGREEMENT = 0.9999
KINDS = ["click", "two clicks", "click after click", "box", "mask", "click and box on two slices"]


@pytest.mark.parametrize("sam_version", ["2.0", "2.1"])
@pytest.mark.parametrize("kind", KINDS)
def test_masks_equal_the_published_predictors_both_ways(sam_version: str, kind: str) -> None:
    predictor, network = reference.build_both(sam_version=sam_version)
    pixels = reference.random_slices(12, 128)
    prompts = prompts_for(kind, 128)
    agreement = least_agreement(our_logits(network, pixels, prompts), their_logits(predictor, pixels, prompts))
    assert agreement > SIGN_AGREEMENT


@pytest.mark.parametrize("sam_version", ["2.0", "2.1"])
def test_masks_equal_the_published_predictors_at_256(sam_version: str) -> None:
    predictor, network = reference.build_both(sam_version=sam_version, image_size=256)
    pixels = reference.random_slices(12, 256)
    prompts = prompts_for("click", 256)
    agreement = least_agreement(our_logits(network, pixels, prompts), their_logits(predictor, pixels, prompts))
    assert agreement > SIGN_AGREEMENT


def test_a_volume_shorter_than_the_pointer_limit_and_one_longer_agree_with_the_published_predictor() -> None:
    predictor, network = reference.build_both()
    for count in (4, 20):
        pixels = reference.random_slices(count, 128, seed=count)
        prompts = {2: [box(30, 40, 90, 100)]}
        agreement = least_agreement(our_logits(network, pixels, prompts), their_logits(predictor, pixels, prompts))
        assert agreement > SIGN_AGREEMENT


@pytest.mark.parametrize("kind", ["click", pytest.param("box", marks=pytest.mark.long)])
def test_masks_equal_the_published_predictors_with_hiera_tiny_at_512(kind: str) -> None:
    _compare_hiera_tiny("2.1", kind, count=6)


@pytest.mark.long
@pytest.mark.parametrize("sam_version", ["2.0", "2.1"])
@pytest.mark.parametrize("kind", ["click", "box", "mask"])
def test_masks_equal_the_published_predictors_with_hiera_tiny_at_512_over_12_slices(
    sam_version: str, kind: str
) -> None:
    _compare_hiera_tiny(sam_version, kind, count=12)


def _compare_hiera_tiny(sam_version: str, kind: str, count: int) -> None:
    predictor, network = reference.build_both(reference.ReferenceSize(), sam_version, 512)
    pixels = reference.random_slices(count, 512)
    prompts = prompts_for(kind, 512)
    agreement = least_agreement(our_logits(network, pixels, prompts), their_logits(predictor, pixels, prompts))
    assert agreement > SIGN_AGREEMENT
