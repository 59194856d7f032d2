"""What is saved with the scene: prompts, keyframes, provenance, parameters, segments; found again anywhere."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from MedSAM2SlicerLib.parameters import Parameters
from MedSAM2SlicerLib.scene.committer import Committer
from MedSAM2SlicerLib.scene.geometry import ijk_to_ras, ras_to_ijk
from MedSAM2SlicerLib.scene.nodes import nodes_of
from MedSAM2SlicerLib.scene.prompts import PromptStore
from MedSAM2SlicerLib.scene.provenance import ROLE, ProvenanceStore
from MedSAM2SlicerLib.scene.segments import get_status, segment_mask, set_status

from MedSAM2Lib.errors import InputError
from MedSAM2Lib.types import BoxPrompt, PointPrompt, SliceKey
from SlicerHost.scene import start_core
from Testing.scene.ground import (
    SHAPE,
    add_transform,
    add_volume,
    open_bundle,
    rigid,
    save_bundle,
    two_touching_segments,
)

MASK = np.random.default_rng(0).random(SHAPE) > 0.6
PROVENANCE = {"model": 'a "demonstration" <model> & more\nü', "window": [-160, 240.5], "corrected": {"k": [3, 4]}}
RIGHT_HANDED = rigid((0.3, 0.2, -0.4), (0.8, 1.5, 2.5), (10, -20, 5), (1, 1, 1))


def fill(scene: Any, grid: np.ndarray) -> None:
    """A scene in the middle of work."""
    volume = add_volume(scene, ijk_to_ras=grid)
    matrix = rigid((0.1, 0.5, 0.2), (1, 1, 1), (3, 4, 5), (1, 1, 1))
    volume.SetAndObserveTransformNodeID(add_transform(scene, matrix).GetID())
    segmentation, liver, kidney = two_touching_segments(scene, volume)
    Committer(volume, segmentation).commit(liver, MASK)
    set_status(segmentation, liver, "flagged")
    store = PromptStore(scene, volume, segmentation)
    store.add(liver, PointPrompt((3, 4, 5), "j"))
    store.add(liver, PointPrompt((4, 4, 5), "k", False))
    store.add(kidney, BoxPrompt((2, 3, 5), (8, 9, 5), "k"))
    store.set_mask_keyframe(liver, SliceKey("k", 2))
    store.set_mask_keyframe(liver, SliceKey("i", 7))
    store.close()
    ProvenanceStore(scene, segmentation).write(liver, PROVENANCE)
    parameters = Parameters.of(scene)
    parameters.volume, parameters.segmentation, parameters.segment_id = volume, segmentation, liver
    parameters.window, parameters.orientations, parameters.first = (-160.0, 240.5), "1", 3
    parameters.close()


@pytest.fixture
def saved(scene: Any, tmp_path: Path) -> Path:
    fill(scene, RIGHT_HANDED)
    save_bundle(scene, tmp_path / "scene.mrb")
    return tmp_path / "scene.mrb"


def what_is_there(scene: Any) -> dict[str, Any]:
    """Everything that a session needs, found from the parameter node on."""
    parameters = Parameters.of(scene)
    volume, segmentation, liver = parameters.volume, parameters.segmentation, parameters.segment_id
    store = PromptStore(scene, volume, segmentation)
    told = {
        "liver": repr(list(store.prompts(liver).items())),
        "kidney": repr(list(store.prompts("Kidney").items())),
        "keyframes": repr(store.mask_keyframes(liver)),
        "provenance": ProvenanceStore(scene, segmentation).read(liver),
        "window": parameters.window,
        "orientations": parameters.orientations,
        "range": (parameters.first, parameters.last),
        "status": get_status(segmentation, liver),
        "voxels": int((segment_mask(segmentation, liver, volume) != MASK).sum()),
    }
    store.close()
    return told


def as_saved() -> dict[str, Any]:
    core = start_core()
    fill(core.scene, RIGHT_HANDED)
    return what_is_there(core.scene)


def test_a_scene_that_is_opened_in_a_new_process_goes_on_where_it_was(saved: Path, tmp_path: Path) -> None:
    code = f"""
import json
from pathlib import Path
from SlicerHost.scene import start_core
from Testing.scene.ground import open_bundle
from Testing.scene.test_scene_saving import what_is_there
core = start_core()
open_bundle(core.scene, Path({str(saved)!r}), Path({str(tmp_path / "opened")!r}))
print("TOLD" + json.dumps(what_is_there(core.scene)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.split("TOLD")[1])
    assert told == json.loads(json.dumps(as_saved()))
    assert told["voxels"] == 0
    assert told["status"] == "flagged"


def test_a_scene_that_is_added_to_another_is_found_by_references(saved: Path, tmp_path: Path) -> None:
    core = start_core()
    present = add_volume(core.scene, name="another patient")
    segmentation, liver, _ = two_touching_segments(core.scene, present)
    store = PromptStore(core.scene, present, segmentation)
    store.add(liver, PointPrompt((1, 1, 1)))
    ProvenanceStore(core.scene, segmentation).write(liver, {"model": "the other"})
    open_bundle(core.scene, saved, tmp_path / "added", add=True)
    assert Parameters.of(core.scene).segmentation is not segmentation
    assert Parameters.of(core.scene).volume is not present
    assert what_is_there(core.scene) == as_saved()
    assert list(store.prompts(liver).values()) == [PointPrompt((1.0, 1.0, 1.0))]
    assert ProvenanceStore(core.scene, segmentation).read(liver) == {"model": "the other"}
    store.close()


def test_left_handed_volumes_are_stored_turned_round_and_prompts_and_keyframes_stay_in_place(tmp_path: Path) -> None:
    core = start_core()
    fill(core.scene, rigid((0.3, 0.2, -0.4), (0.8, 1.5, 2.5), (10, -20, 5), (1, -1, 1)))
    before = Parameters.of(core.scene)
    places = [ijk_to_ras(before.volume, ijk) for ijk in ((3, 4, 5), (0, 0, 2), (7, 0, 0))]
    save_bundle(core.scene, tmp_path / "scene.mrb")
    opened = start_core()
    open_bundle(opened.scene, tmp_path / "scene.mrb", tmp_path)
    parameters = Parameters.of(opened.scene)
    store = PromptStore(opened.scene, parameters.volume, parameters.segmentation)
    point, first, second = (ras_to_ijk(parameters.volume, place) for place in places)
    prompt = next(iter(store.prompts("Liver").values()))
    assert np.allclose(prompt.ijk, point, atol=1e-3)
    assert store.mask_keyframes("Liver") == [SliceKey("k", round(first[2])), SliceKey("i", round(second[0]))]
    store.close()


def test_a_provenance_belongs_to_its_segment(scene: Any, volume: Any) -> None:
    segmentation, liver, kidney = two_touching_segments(scene, volume)
    store = ProvenanceStore(scene, segmentation)
    assert store.read(liver) == {}
    store.write(liver, {"seconds": 3})
    store.update(liver, model="x")
    store.update(kidney, seconds=1)
    assert (store.read(liver), store.read(kidney)) == ({"seconds": 3, "model": "x"}, {"seconds": 1})
    assert set(store.segments()) == {liver, kidney}
    store.remove(liver)
    assert (store.read(liver), store.segments()) == ({}, (kidney,))
    assert len(nodes_of(scene, "vtkMRMLTextNode")) == 1


def test_text_that_somebody_damaged_is_kept_and_a_new_record_begun(scene: Any, volume: Any) -> None:
    segmentation, liver, _ = two_touching_segments(scene, volume)
    store = ProvenanceStore(scene, segmentation)
    store.write(liver, {"seconds": 3})
    damaged = segmentation.GetNodeReference(ROLE)
    damaged.SetText("{not json")
    assert store.read(liver) == {}
    store.write(liver, {"seconds": 4})
    assert store.read(liver) == {"seconds": 4}
    assert damaged.GetText() == "{not json"
    scene.RemoveNode(segmentation.GetNodeReference(ROLE))
    assert store.read(liver) == {}


def test_after_the_segmentation_was_deleted_provenance_is_one_clear_error(scene: Any, volume: Any) -> None:
    segmentation, liver, _ = two_touching_segments(scene, volume)
    store = ProvenanceStore(scene, segmentation)
    scene.RemoveNode(segmentation)
    for call in (lambda: store.read(liver), lambda: store.write(liver, {})):
        with pytest.raises(InputError) as problem:
            call()
        assert problem.value.code == "E_NODE_GONE"
    store.close()


def test_every_parameter_comes_back_with_its_type(scene: Any, volume: Any) -> None:
    parameters = Parameters.of(scene)
    assert (parameters.volume, parameters.segmentation, parameters.segment_id) == (None, None, "")
    assert (parameters.tool, parameters.positive, parameters.axis, parameters.orientations) == ("", True, "k", "3")
    assert (parameters.first, parameters.last, parameters.window) == (None, None, None)
    values = {
        "volume": volume,
        "segmentation": two_touching_segments(scene, volume)[0],
        "segment_id": "Liver",
        "tool": "box",
        "positive": False,
        "axis": "i",
        "first": 0,
        "last": 12,
        "orientations": "auto",
        "memory": "self-sorting",
        "model": "sam2.1-tiny",
        "window": (-0.1, 1e-7),
    }
    for name, value in values.items():
        setattr(parameters, name, value)
    again = Parameters.of(scene)
    assert again.node is parameters.node
    assert {name: getattr(again, name) for name in values} == values
    again.first, again.window, again.volume = None, None, None
    assert (parameters.first, parameters.window, parameters.volume) == (None, None, None)


def test_a_change_of_parameters_is_told_once_and_the_same_value_is_no_change(scene: Any, volume: Any) -> None:
    parameters = Parameters.of(scene)
    told: list[str] = []
    parameters.changed = lambda: told.append("changed")
    parameters.tool = "point"
    assert len(told) == 1
    parameters.tool, parameters.volume = "point", None
    assert len(told) == 1
    Parameters.of(scene).volume = volume
    assert len(told) == 2
    parameters.close()
    parameters.tool = "box"
    assert len(told) == 2


def test_values_that_nobody_wrote_are_the_defaults(scene: Any) -> None:
    parameters = Parameters.of(scene)
    for name, text in (("tool", "lasso"), ("axis", "x"), ("first", "many"), ("window", "1 2 3"), ("orientations", "7")):
        parameters.node.SetParameter(name, text)
    assert (parameters.tool, parameters.axis, parameters.first) == ("", "k", None)
    assert (parameters.window, parameters.orientations) == (None, "3")


def test_closing_the_scene_leaves_parameters_that_say_nothing_and_can_be_used(scene: Any, volume: Any) -> None:
    parameters = Parameters.of(scene)
    parameters.volume, parameters.tool = volume, "box"
    scene.RemoveNode(volume)
    assert parameters.volume is None
    scene.Clear(False)
    assert Parameters.of(scene).node is parameters.node
    assert (parameters.volume, parameters.tool, parameters.orientations) == (None, "", "3")
    parameters.tool = "point"
    assert parameters.tool == "point"


def test_a_deleted_parameter_node_is_one_clear_error(scene: Any) -> None:
    parameters = Parameters.of(scene)
    scene.RemoveNode(parameters.node)
    with pytest.raises(InputError) as problem:
        parameters.tool = "box"
    assert problem.value.code == "E_NODE_GONE"
    parameters.close()
