"""The module's own panel on SlicerHost, with the stand-in engine: real buttons, real clicks in real views."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slicer
from numpy.typing import NDArray

from MedSAM2Lib.types import BoolArray, Orientations, PointPrompt, Prompt, PropagationRequest
from SlicerHost import testing
from SlicerHost.start import Host
from Testing.engine.growing_network import growing_session, mask_of

MODULE = Path(__file__).resolve().parents[2] / "MedSAM2Slicer"
UPRIGHT = np.diag([-1.0, -1.0, 2.0, 1.0])
PATIENCE = 60.0
VIEW_OF_AXIS = {"k": "Red", "i": "Yellow", "j": "Green"}
"""In a volume whose axes are the patient's."""


class PanelBench:
    """The panel in the host's window, entered.

    ``engine`` is what its sessions come from; ``choices`` are what engines were asked for.
    """

    def __init__(self, host: Host, panel: Any, engine: Any, choices: list[Any]) -> None:
        self.host, self.panel, self.engine, self.choices = host, panel, engine, choices
        self.volume: Any = None

    @property
    def ui(self) -> Any:
        return self.panel.ui

    @property
    def state(self) -> Any:
        return self.panel.state

    @property
    def line(self) -> str:
        """What the line at the top says."""
        return self.ui.statusText.text

    @property
    def error(self) -> str | None:
        """The code of the error that is shown."""
        return None if self.panel.status.error is None else self.panel.status.error.code

    @property
    def segmentation(self) -> Any:
        return self.panel.selection.segmentation

    def show(self, mask: BoolArray, ijk_to_ras: NDArray = UPRIGHT, name: str = "CT") -> Any:
        """Loads a volume in which the stand-in sees exactly ``mask``, as a user does: all views show it."""
        from Testing.scene.session_ground import fill

        self.volume = slicer.util.addVolumeFromArray(np.zeros(mask.shape, np.int16), ijkToRAS=ijk_to_ras, name=name)
        self.volume.CreateDefaultDisplayNodes()
        fill(self.volume, mask)
        slicer.app.coreIOManager().show(self.volume)
        testing.settle()
        return self.volume

    def rest(self, until: Callable[[], bool] | None = None) -> None:
        """Runs the event loop until nothing is pending, or until something is so."""
        testing.wait_until(until or (lambda: not self.panel.controller.busy), PATIENCE)
        testing.settle()

    def click(self, ijk: Sequence[float], view: str = "Red", **how: Any) -> None:
        """A click in a view on a voxel."""
        testing.click_ijk(view, self.volume, ijk, **how)
        self.rest()

    def drag(self, first: Sequence[float], last: Sequence[float], view: str = "Red", **how: Any) -> None:
        """A drag in a view from voxel to voxel."""
        testing.drag_ras(view, testing.world_of(self.volume, first), testing.world_of(self.volume, last), **how)
        self.rest()

    def press(self, button: Any, rest: bool = True) -> None:
        """Presses a button, which must be there and enabled."""
        assert button.enabled and not button.isHidden(), f"{button.objectName} cannot be pressed"
        button.click()
        if rest:
            self.rest()

    def key(self, key: Any, modifiers: Any = None, rest: bool = True) -> None:
        """A key on the main window."""
        testing.press_key(self.host.window, key, modifiers=modifiers)
        if rest:
            self.rest()

    def enter(self) -> None:
        self.key(testing.Qt.Key.Key_Return)

    def voxels(self, segment_id: str | None = None) -> BoolArray:
        """A segment's voxels, the chosen one's by default."""
        from MedSAM2SlicerLib.scene.segments import segment_mask

        chosen = self.panel.selection
        return np.array(segment_mask(chosen.segmentation, segment_id or chosen.segment_id, self.volume))

    def preview(self) -> BoolArray:
        """What the preview layer holds."""
        return np.array(self.panel.controller._core.open.parts.preview.array) > 0

    def expected(self, *prompts: Prompt, orientations: Orientations = "3") -> BoolArray:
        """What the engine gives for prompts over the whole volume."""
        from MedSAM2SlicerLib.scene.geometry import volume_data

        session = growing_session(volume_data(self.volume))
        object_id = session.add_object("organ")
        for prompt in prompts:
            session.add_prompt(object_id, prompt)
            session.preview(object_id, prompt.slice)
        list(session.propagate(PropagationRequest(prompts[0].axis, orientations=orientations)))
        return mask_of(session, object_id)

    def expected_slice(self, *prompts: Prompt) -> BoolArray:
        """What the engine shows on the slice of the last of these prompts."""
        from MedSAM2SlicerLib.scene.geometry import volume_data

        session = growing_session(volume_data(self.volume))
        object_id = session.add_object("organ")
        for prompt in prompts:
            session.add_prompt(object_id, prompt)
        return np.asarray(session.voxel_logits(session.preview(object_id, prompts[-1].slice)) > 0)


@contextmanager
def panel_bench(
    host: Host, monkeypatch: pytest.MonkeyPatch, engine: Any = None, factory: Any = None
) -> Iterator[PanelBench]:
    """Loads the module file as Slicer does, with a stand-in for the engine, and enters it; closes it at the end.

    A ``factory`` makes real engines instead.
    """
    from Testing.scene.session_ground import GrowingEngine

    engine, choices = engine or GrowingEngine(), []
    module = host.load_module(MODULE, enter=False)
    from MedSAM2SlicerLib.panel import widget
    from MedSAM2SlicerLib.session.ports import ReadyEngine

    def make(choice: Any) -> ReadyEngine:
        choices.append(choice)
        return ReadyEngine(engine, "stand-in", "0" * 64, "cpu fp32", {"torch": "none"})

    monkeypatch.setattr(widget, "default_engine_factory", lambda settings: factory or make)
    host.window.moduleSelector().selectModule(module.name)
    panel = module.widgetRepresentation().self().panel
    testing.settle()
    try:
        yield PanelBench(host, panel, engine, choices)
    finally:
        host.window.moduleSelector().selectModule("")
        module.widgetRepresentation().self().cleanup()


def middle_point(axis: Any = "k", positive: bool = True, ijk: Sequence[float] = (14.0, 13.0, 12.0)) -> PointPrompt:
    i, j, k = ijk
    return PointPrompt((i, j, k), axis, positive)
