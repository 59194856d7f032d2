"""The flow that users live in: click, preview, Enter, and what is then in the segment."""

from __future__ import annotations

import numpy as np
import pytest

from MedSAM2Lib.types import Orientations, PointPrompt, PropagationRequest, SliceKey
from Testing.engine.growing_network import growing_session, mask_of, volume_of
from Testing.scene.session_ground import MIDDLE, ORGAN, Bench


def test_a_click_shows_the_engine_s_mask_on_that_slice_and_commits_nothing(bench: Bench) -> None:
    bench.click()
    session = growing_session(volume_of(ORGAN))
    session.add_prompt(session.add_object("organ"), PointPrompt(MIDDLE))
    expected = np.zeros_like(ORGAN)
    expected[12] = session.voxel_logits(session.preview(1, SliceKey("k", 12))) > 0
    assert expected[12].any()
    assert np.array_equal(bench.preview() > 0, expected)
    assert not bench.voxels().any()
    assert (bench.state.phase, bench.state.previewed, bench.state.keyframes) == (
        "ready",
        (SliceKey("k", 12),),
        (SliceKey("k", 12),),
    )


@pytest.mark.parametrize("orientations", ["1", "3"])
def test_enter_commits_voxel_for_voxel_what_the_engine_gives(bench: Bench, orientations: Orientations) -> None:
    bench.controller.set_orientations(orientations)
    bench.click()
    bench.controller.whole_volume()
    bench.propagate()
    session = growing_session(volume_of(ORGAN))
    session.add_prompt(session.add_object("organ"), PointPrompt(MIDDLE))
    session.preview(1, SliceKey("k", 12))
    list(session.propagate(PropagationRequest("k", orientations=orientations)))
    assert bench.voxels().any()
    assert np.array_equal(bench.voxels(), mask_of(session, 1))
    assert bench.state.phase == "reviewing"
    assert not bench.preview().any()
