"""Three orientations with the embedded model: what one axis loses or never reaches, the others bring."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from MedSAM2Lib.network.sam2 import Sam2Network
from MedSAM2Lib.tracking.device import ExecutionContext
from MedSAM2Lib.tracking.engine import Sam2Engine, options_for
from MedSAM2Lib.tracking.keyframes import Interval
from MedSAM2Lib.tracking.session import TrackingSession
from MedSAM2Lib.types import AXES, Axis, BoolArray, BoxPrompt, Orientations, PropagationRequest, array_dimension
from MedSAM2Lib.volume.volume import Volume
from MedSAM2Lib.weights.loading import load_network
from Testing.engine.growing_network import mask_of
from Testing.engine.phantoms import ellipsoid

ORGAN = ellipsoid((40, 48, 48), (20, 24, 24), (14, 13, 15))
BOX = BoxPrompt((9, 11, 20), (39, 37, 20))


@pytest.fixture(scope="module")
def network() -> Sam2Network:
    return load_network("embedded").network


def propagated(
    network: Sam2Network, grey: BoolArray, prompt: BoxPrompt, orientations: Orientations
) -> tuple[TrackingSession, BoolArray]:
    """A session on an object of 140 in 40 with noise, and the fused mask."""
    values = np.where(grey, 140.0, 40.0) + np.random.default_rng(0).normal(0, 8, grey.shape)
    options = options_for(network.config, None, None, "auto", "temporal")
    engine = Sam2Engine(network, ExecutionContext(torch.device("cpu"), torch.float32), options)
    session = engine.open(Volume.from_array(np.rint(values).astype(np.int16)))
    session.add_prompt(session.add_object("organ"), prompt)
    list(session.propagate(PropagationRequest("k", orientations=orientations)))
    return session, mask_of(session, 1)


def dice(found: BoolArray, truth: BoolArray) -> float:
    return float(2 * (found & truth).sum() / (found.sum() + truth.sum()))


def mask_along(session: TrackingSession, axis: Axis) -> BoolArray:
    """What one orientation takes for the object, [k, j, i]."""
    mask = np.zeros(session.view.volume.shape, dtype=bool)
    for result in session.results(1):
        if result.key.axis == axis:
            np.moveaxis(mask, array_dimension(axis), 0)[result.key.index] = session.voxel_logits(result) > 0
    return mask


def last_slice_along_k(session: TrackingSession) -> int:
    return max(one.key.index for one in session.results(1) if one.key.axis == "k" and (one.logits > 0).any())


def test_three_orientations_find_what_one_finds(network: Sam2Network) -> None:
    for orientations in ("1", "3"):
        _, mask = propagated(network, ORGAN, BOX, orientations)  # type: ignore[arg-type]
        assert dice(mask, ORGAN) > 0.97


def test_beyond_a_gap_the_first_axis_goes_on_where_the_others_see_the_object(network: Sam2Network) -> None:
    gap = ORGAN.copy()
    gap[26:28] = False
    one, alone = propagated(network, gap, BOX, "1")
    three, together = propagated(network, gap, BOX, "3")
    assert last_slice_along_k(one) == 25
    assert last_slice_along_k(three) >= 30
    (interval,) = three.objects[1].updates[0].returning or []
    assert Interval("k", 28, 33).holds(interval)
    assert not alone[28:].any()
    assert dice(together[28:], ORGAN[28:]) > 0.6
    suggestion = three.suggest(1)
    assert suggestion is not None
    assert 26 <= suggestion.slice.index <= 33


def test_of_a_horseshoe_s_other_limb_only_three_orientations_see_anything(network: Sam2Network) -> None:
    shape = np.zeros((60, 64, 68), dtype=bool)
    shape[10:48, 24:40, 12:26] = True
    shape[10:18, 24:40, 12:56] = True
    shape[10:48, 24:40, 42:56] = True
    limb = np.s_[18:48, 24:40, 42:56]
    prompt = BoxPrompt((12, 24, 34), (25, 39, 34))
    _, alone = propagated(network, shape, prompt, "1")
    assert not alone[limb].any()
    three, _ = propagated(network, shape, prompt, "3")
    seen = {axis: mask_along(three, axis)[limb].mean() for axis in AXES}
    assert seen["k"] == 0.0
    assert max(seen["j"], seen["i"]) > 0.1
