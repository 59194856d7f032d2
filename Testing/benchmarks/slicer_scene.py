"""How long the scene's side takes on a large volume, engine time excluded: previews, commits, undo, noticing edits.

    python -m Testing.benchmarks.slicer_scene

512 x 512 x 300 voxels, an object of 200 x 200 x 150 in the middle, and a second one that touches it and shares its
labelmap. Targets: a preview slice in under 50 ms, a commit in under 500 ms where the editor's mask is "everywhere".
Nothing is rendered.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from MedSAM2SlicerLib.scene.committer import Committer
from MedSAM2SlicerLib.scene.edits import EditWatcher
from MedSAM2SlicerLib.scene.preview import PreviewLayer
from MedSAM2SlicerLib.scene.prompts import PromptStore
from MedSAM2SlicerLib.scene.segments import segment_mask
from slicer import vtkMRMLSegmentationNode

from MedSAM2Lib.types import AXES, PointPrompt, SliceKey
from SlicerHost.scene import start_core
from Testing.scene.ground import add_volume, paint, two_touching_segments

SHAPE = (300, 512, 512)
Step = Callable[[], object]


def row(name: str, call: Step, between: Step = lambda: None, repeats: int = 5) -> None:
    """Prints the fastest and the slowest of several calls in ms; ``between`` is called before each, not measured."""
    times = []
    for _ in range(repeats):
        between()
        start = time.perf_counter()
        call()
        times.append((time.perf_counter() - start) * 1000)
    print(f"{name:<36}{min(times):9.2f} {max(times):9.2f}", flush=True)


def organ(first_i: int) -> np.ndarray:
    """A ball of 200 x 200 x 150 voxels in the whole volume."""
    k, j, i = np.ogrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    return np.asarray(((k - 150) / 75.0) ** 2 + ((j - 256) / 100.0) ** 2 + ((i - first_i - 100) / 100.0) ** 2 < 1)


def measure_preview(scene: Any, volume: Any) -> None:
    layer = PreviewLayer(scene, volume)
    for axis in AXES:
        mask = np.ones([size for size, other in zip(SHAPE, AXES) if other != axis], dtype=bool)
        row(f"preview slice along {axis}", lambda a=axis, m=mask: layer.show_slice(SliceKey(a, 150), m), repeats=50)
    slab = np.ones((16, *SHAPE[1:]), dtype=bool)
    row("preview slab of 16 slices", lambda: layer.show_slab(100, slab))
    row("clear the preview", layer.clear, lambda: layer.show_slab(100, slab))
    layer.close()


def measure_prompts(scene: Any, volume: Any, segmentation: Any, segment_id: str) -> None:
    store = PromptStore(scene, volume, segmentation)
    row("draw a point", lambda: store.add(segment_id, PointPrompt((250, 250, 150))), repeats=20)
    snapshot = store.snapshot()
    row("restore 20 points", lambda: store.restore(snapshot), lambda: store.clear(segment_id))
    store.close(remove=True)


def measure_commits(volume: Any, segmentation: Any, segment_id: str, neighbour: str, editor: Any) -> None:
    watcher = EditWatcher(volume, segmentation)
    watcher.accept(segment_id)
    committer = Committer(volume, segmentation, watcher=watcher, editor_node=editor)
    mask, empty = organ(150), np.zeros(SHAPE, dtype=bool)
    other = np.roll(mask, 2, axis=2)
    within = (slice(140, 160), slice(0, 512), slice(0, 512))

    def commit(wanted: np.ndarray) -> Step:
        return lambda: committer.commit(segment_id, wanted)

    committer.commit(neighbour, organ(300) & ~mask)
    row("commit an object", commit(mask), commit(empty))
    row("change an object everywhere", commit(other), commit(mask))
    row("remove an object", commit(empty), commit(mask))
    row("replace 20 slices", lambda: committer.commit(segment_id, other[within], within), commit(mask))
    row("undo a commit of an object", committer.undo, lambda: (commit(empty)(), commit(mask)()))
    editor.SetMaskMode(vtkMRMLSegmentationNode.EditAllowedOutsideAllSegments)
    row("commit, only outside other segments", commit(mask), commit(empty))
    editor.SetMaskMode(vtkMRMLSegmentationNode.EditAllowedEverywhere)
    editor.SetSourceVolumeIntensityMask(True)
    editor.SetSourceVolumeIntensityMaskRange(-400, 400)
    row("commit, only an intensity range", commit(mask), commit(empty))
    editor.SetSourceVolumeIntensityMask(False)
    committer.commit(segment_id, mask)
    watcher.close()


def measure_edits(volume: Any, segmentation: Any, segment_id: str) -> None:
    stroke = np.zeros(SHAPE, dtype=bool)
    stroke[150, 100:120, 100:120] = True

    def draw(erase: bool = False) -> Step:
        return lambda: paint(segmentation, segment_id, stroke, volume, erase)

    row("read a segment", lambda: segment_mask(segmentation, segment_id, volume))
    row("a stroke of the editor, unwatched", draw(), draw(erase=True))
    watcher = EditWatcher(volume, segmentation)
    row("accept a segment", lambda: watcher.accept(segment_id))
    row("a stroke of the editor, watched", draw(), draw(erase=True))
    row("find the slices that were edited", lambda: watcher.changed_slices(segment_id, "k"))
    watcher.close()


def main() -> None:
    scene = start_core().scene
    volume = add_volume(scene, SHAPE)
    editor = scene.AddNewNodeByClass("vtkMRMLSegmentEditorNode")
    segmentation, segment_id, neighbour = two_touching_segments(scene, volume)
    print(f"{'512 x 512 x 300, ms':<36}  fastest   slowest")
    measure_preview(scene, volume)
    measure_prompts(scene, volume, segmentation, segment_id)
    measure_commits(volume, segmentation, segment_id, neighbour, editor)
    measure_edits(volume, segmentation, segment_id)


if __name__ == "__main__":
    main()
