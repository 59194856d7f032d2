"""The pages in the real panel: what a propagation remembered, a jump from its table, a model chosen for the session."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from MedSAM2Lib.types import SliceKey
from SlicerHost import testing
from Testing.panel.panel_ground import PanelBench
from Testing.scene.session_ground import MIDDLE, ORGAN

TITLES = {"Memory", "Export DICOM-SEG", "Training case", "Models", "Device", "Setup"}


def sections(bench: PanelBench) -> dict[str, Any]:
    import ctk

    found = bench.panel.widget.findChildren(ctk.ctkCollapsibleButton)
    return {section.text: section for section in found if section.text in TITLES}


def find(bench: PanelBench, name: str) -> Any:
    import qt

    return bench.panel.widget.findChild(qt.QWidget, name)


@pytest.fixture
def propagated(bench: PanelBench) -> PanelBench:
    bench.show(ORGAN)
    bench.click(MIDDLE)
    bench.enter()
    assert bench.state.phase == "reviewing"
    return bench


def test_every_page_is_a_section_that_is_closed_at_first(bench: PanelBench) -> None:
    found = sections(bench)
    assert set(found) == TITLES
    assert all(section.collapsed for section in found.values())


def test_the_memory_of_a_propagation_is_asked_for_and_a_row_shows_its_slice(propagated: PanelBench) -> None:
    bench = propagated
    assert bench.state.bank is None
    sections(bench)["Memory"].collapsed = False
    find(bench, "MemoryLookButton").click()
    bench.rest()
    bank, table = bench.state.bank, find(bench, "MemoryTable")
    assert bank is not None and table.rowCount == len(bank.slices) > 1
    indices = sorted(one.index for one in bank.slices)
    table.cellClicked.emit(0, 0)
    testing.settle()
    assert bench.panel.views.index_along("k", bench.volume) == indices[0]
    text = find(bench, "MemoryShownLabel").text
    assert text.startswith(f"On slice {indices[0]}, in view")
    assert text.endswith(f"slices {', '.join(map(str, bank.shown[indices[0]]))}.")


def test_the_open_memory_page_follows_the_next_propagation_by_itself(propagated: PanelBench) -> None:
    bench = propagated
    sections(bench)["Memory"].collapsed = False
    bench.click((14.0, 13.0, 14.0))
    bench.enter()
    bench.rest(lambda: bench.state.bank is not None)
    prompted = {one.index for one in bench.state.bank.slices if one.prompted}
    assert {12, 14} <= prompted


def test_a_model_chosen_on_its_page_is_kept_with_the_scene_and_used_for_the_next_prompt(bench: PanelBench) -> None:
    bench.show(ORGAN)
    find(bench, "ModelFileEdit").currentPath = "/data/own.pt"
    find(bench, "ModelUseFileButton").click()
    assert bench.panel.selection.parameters.model == "/data/own.pt"
    bench.click(MIDDLE)
    assert bench.choices[-1].model == "/data/own.pt"


def test_a_case_is_saved_with_the_preview_in_it(bench: PanelBench, tmp_path: Any) -> None:
    from MedSAM2Lib.volume.io import read_mask_prompt, read_volume

    bench.show(ORGAN)
    bench.click(MIDDLE)
    assert bench.state.previewed == (SliceKey("k", 12),)
    find(bench, "TrainingFolderEdit").currentPath = str(tmp_path)
    find(bench, "SaveTrainingCaseButton").click()
    bench.rest()
    case = tmp_path / "CT"
    volume = read_volume(case / "image.nrrd")
    mask = read_mask_prompt(case / "mask.seg.nrrd", volume, None)
    assert mask.any() and np.array_equal(mask, bench.voxels())


def test_the_device_page_measures_the_engine_that_the_panel_uses(bench: PanelBench) -> None:
    find(bench, "DeviceMeasureButton").click()
    testing.wait_until(lambda: find(bench, "DeviceMeasureButton").enabled)
    assert len(bench.choices) == 1
    assert find(bench, "DeviceSaidLabel").text.startswith("Measured: ")


def test_while_something_is_missing_setup_is_first_and_open(bench: PanelBench, monkeypatch: pytest.MonkeyPatch) -> None:
    from MedSAM2SlicerLib.panel.widget import MedSAM2Panel
    from MedSAM2SlicerLib.setup import dependencies

    state = dependencies.dependency_state(installed=lambda name: None)
    monkeypatch.setattr(dependencies, "dependency_state", lambda: state)
    panel = MedSAM2Panel(lambda choice: None)
    try:
        setup, memory = panel.pages.setup.widget.parent(), panel.pages.memory.widget.parent()
        layout = panel.ui.pagesLayout
        assert not setup.collapsed and memory.collapsed
        assert layout.indexOf(setup) < layout.indexOf(memory)
    finally:
        panel.close()
