"""The whole way with the embedded model: a box is dragged on the phantom, Enter, and the organ is in the segment."""

from __future__ import annotations

import numpy as np
import pytest

from MedSAM2Lib.evaluation.phantom import make_phantom
from MedSAM2Lib.types import BoolArray
from SlicerHost import testing
from SlicerHost.start import Host
from Testing.panel.panel_ground import panel_bench

LEAST_DICE, LEAST_GAIN = 0.75, 0.1


def dice(found: BoolArray, truth: BoolArray) -> float:
    return float(2 * (found & truth).sum() / (found.sum() + truth.sum()))


def test_a_box_on_the_phantom_gives_the_organ_in_3d(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """The phantom is the project's own generator's; its organ stands about 60 HU above its neighbours."""
    from MedSAM2SlicerLib.sample_data import add_phantom, show
    from MedSAM2SlicerLib.self_test import box_around
    from MedSAM2SlicerLib.setup.engine_factory import EngineFactory, EngineSettings

    phantom = make_phantom()
    first, last = box_around(phantom.truth)
    factory = EngineFactory(lambda: EngineSettings(device="cpu"))
    with panel_bench(host, monkeypatch, factory=factory) as bench:
        bench.volume = show(add_phantom(phantom))
        testing.settle()
        bench.press(bench.ui.boxButton)
        bench.drag(first, last)
        assert bench.error is None, bench.line
        bench.enter()
        assert bench.state.phase == "reviewing", bench.line
        found = bench.voxels()
        repeated = np.broadcast_to(found[int(first[2])], found.shape) & phantom.truth.any(axis=(1, 2))[:, None, None]
        reached = dice(found, phantom.truth)
        assert reached >= LEAST_DICE
        assert reached >= dice(repeated, phantom.truth) + LEAST_GAIN
        assert bench.state.device == "cpu fp32"
