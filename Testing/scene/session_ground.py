"""Sessions for the tests: a real scene, the real tracking session around a stand-in network, a loop for a ticker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
from MedSAM2SlicerLib.scene.geometry import ijk_to_ras
from MedSAM2SlicerLib.scene.grids import create_segmentation
from MedSAM2SlicerLib.scene.nodes import nodes_of
from MedSAM2SlicerLib.scene.provenance import ProvenanceStore
from MedSAM2SlicerLib.scene.segments import add_segment
from MedSAM2SlicerLib.session.controller import SessionController
from MedSAM2SlicerLib.session.ports import EngineChoice, ReadyEngine
from MedSAM2SlicerLib.session.scene_parts import MrmlScene
from MedSAM2SlicerLib.session.state import SessionState
from MedSAM2SlicerLib.session.tickers import LoopTicker
from numpy.typing import NDArray
from vtk.util.numpy_support import vtk_to_numpy

from MedSAM2Lib.types import (
    BoolArray,
    Orientations,
    PointPrompt,
    Prompt,
    PropagationRequest,
    SegmentationEngine,
    VolumeData,
)
from MedSAM2Lib.volume.volume import Volume
from Testing.engine.growing_network import BRIGHT, SIDE, growing_session, mask_of, tracked_of
from Testing.engine.phantoms import ellipsoid
from Testing.scene.ground import add_volume

SHAPE = (24, 26, 28)
ORGAN = ellipsoid(SHAPE, (12, 13, 14), (9, 8, 10))
MIDDLE = (14.0, 13.0, 12.0)
PATIENCE = 60.0
SIZES = SimpleNamespace(image_size=4 * SIDE, grid_size=SIDE, model_dim=4, memory_dim=1)
"""What a network's configuration would say of the stand-in's tensors; states that are restored are checked by it."""


class GrowingEngine(SegmentationEngine):
    """Sessions that follow what is bright; each one that was opened is in ``sessions``.

    ``before_open`` is called first, and may raise.
    """

    def __init__(self, before_open: Callable[[], None] = lambda: None) -> None:
        self.sessions: list[Any] = []
        self._before_open = before_open

    def open(self, volume: VolumeData) -> Any:
        self._before_open()
        session = growing_session(Volume(volume.array, volume.ijk_to_world, volume.name))
        session.runner.network = SimpleNamespace(config=SIZES)
        self.sessions.append(session)
        return session


@dataclass
class Bench:
    """A session on a scene; ``states`` are all that it has shown."""

    scene: Any
    volume: Any
    segmentation: Any
    segment_id: str
    engine: GrowingEngine
    ticker: LoopTicker
    choices: list[EngineChoice] = field(default_factory=list)
    states: list[SessionState] = field(default_factory=list)
    controller: SessionController = field(init=False)

    def __post_init__(self) -> None:
        self.controller = SessionController(self.make_engine, MrmlScene(self.scene), self.ticker, self.states.append)

    def close(self) -> None:
        """Ends the session, as the module does when it is torn down."""
        assert self.controller.close(PATIENCE)

    def make_engine(self, choice: EngineChoice) -> ReadyEngine:
        self.choices.append(choice)
        return ReadyEngine(self.engine, "stand-in", "0" * 64, "cpu", {"torch": "none"})

    @property
    def state(self) -> SessionState:
        return self.controller.state

    def open(self, segment_id: str | None = None) -> None:
        self.segment_id = segment_id or self.segment_id
        self.controller.open(self.volume, self.segmentation, self.segment_id)
        self.run()

    def run(self, until: Callable[[], bool] = lambda: False) -> None:
        """Ticks until nothing is pending, or ``until`` says so."""
        assert self.ticker.run(PATIENCE, until), "the session has not come to rest"

    def click(self, ijk: tuple[float, float, float] = MIDDLE, axis: Any = "k", positive: bool = True) -> None:
        self.controller.add_point(ijk, axis, positive)
        self.run()

    def propagate(self) -> None:
        self.controller.propagate()
        self.run()

    def voxels(self, segment_id: str | None = None) -> BoolArray:
        """The segment's voxels as the scene has them."""
        return np.array(
            MrmlScene(self.scene).segments(self.volume, self.segmentation).mask(segment_id or self.segment_id)
        )

    def preview(self) -> NDArray[np.uint8]:
        """What the preview layer shows, [k, j, i]."""
        opened = self.controller._core.open
        assert opened is not None
        return np.array(opened.parts.preview.array)  # type: ignore[attr-defined]

    def array(self) -> NDArray[np.int16]:
        """The volume's voxels, [k, j, i], to be written before the first prompt."""
        scalars = self.volume.GetImageData().GetPointData().GetScalars()
        return vtk_to_numpy(scalars).reshape(self.volume.GetImageData().GetDimensions()[::-1])

    def drag_points(self, ijk: tuple[float, float, float]) -> None:
        """The user drags every point to a voxel in a view."""
        for node in nodes_of(self.scene, "vtkMRMLMarkupsFiducialNode"):
            for index in range(node.GetNumberOfControlPoints()):
                node.InvokeEvent(node.PointStartInteractionEvent)
                node.SetNthControlPointPositionWorld(index, *ijk_to_ras(self.volume, ijk))
                node.InvokeEvent(node.PointEndInteractionEvent)
        self.run()

    @property
    def tracked(self) -> list[int]:
        """Slices that the stand-in of the latest session has tracked, of all axes, as they came."""
        return tracked_of(self.engine.sessions[-1])

    def expected(self, orientations: Orientations = "3", *prompts: Prompt) -> BoolArray:
        """What the engine gives for prompts (a click in the middle) over the whole volume, [k, j, i]."""
        data = MrmlScene(self.scene).open(self.volume, self.segmentation)
        data.close()
        told = prompts or (PointPrompt(MIDDLE),)
        session = growing_session(Volume(data.volume.array, data.volume.ijk_to_world))
        object_id = session.add_object("organ")
        for prompt in told:
            session.add_prompt(object_id, prompt)
            session.preview(object_id, prompt.slice)
        list(session.propagate(PropagationRequest(told[0].axis, orientations=orientations)))
        return mask_of(session, object_id)

    def prompts(self) -> dict[str, Prompt]:
        """Points and boxes of the open segment by id."""
        opened = self.controller._core.open
        return {} if opened is None else opened.prompts()

    def record(self, segment_id: str | None = None) -> dict[str, Any]:
        """The segment's provenance."""
        store = ProvenanceStore(self.scene, self.segmentation)
        try:
            return dict(store.read(segment_id or self.segment_id))
        finally:
            store.close()

    def add_segment(self, name: str = "other") -> str:
        return add_segment(self.segmentation, name)


@contextmanager
def bench_of(scene: Any, mask: BoolArray = ORGAN, ijk_to_ras: NDArray | None = None) -> Iterator[Bench]:
    """A session on a volume in which the stand-in sees exactly ``mask``; a segment is open."""
    volume = add_volume(scene, mask.shape, ijk_to_ras)
    fill(volume, mask)
    segmentation = create_segmentation(scene, volume, "Segmentation")
    with bench_on(scene, volume, segmentation, add_segment(segmentation, "organ")) as bench:
        yield bench


@contextmanager
def bench_on(scene: Any, volume: Any, segmentation: Any, segment_id: str) -> Iterator[Bench]:
    """A session with a segment that is there already open."""
    bench = Bench(scene, volume, segmentation, segment_id, GrowingEngine(), LoopTicker())
    try:
        bench.open()
        yield bench
    finally:
        bench.close()


def fill(volume: Any, mask: BoolArray) -> None:
    """The volume's voxels become what the stand-in sees."""
    scalars = volume.GetImageData().GetPointData().GetScalars()
    vtk_to_numpy(scalars)[:] = (mask * BRIGHT).astype(np.int16).ravel()
    scalars.Modified()
    volume.GetDisplayNode().SetAutoWindowLevel(False)
    volume.GetDisplayNode().SetWindowLevel(float(BRIGHT), BRIGHT / 2)
