"""Real CT in the panel with the embedded model, from a NIfTI file and from a DICOM series."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import slicer

from SlicerHost import testing
from SlicerHost.start import Host
from Testing.panel.panel_ground import PanelBench, panel_bench

LIVER = 5
LEAST_DICE = 0.8


@pytest.fixture
def real(host: Host, monkeypatch: pytest.MonkeyPatch) -> Iterator[PanelBench]:
    host.load_module(Path(__file__).resolve().parents[2] / "MedSAM2Slicer", enter=False)
    from MedSAM2SlicerLib.setup.engine_factory import EngineFactory, EngineSettings

    with panel_bench(host, monkeypatch, factory=EngineFactory(lambda: EngineSettings(device="cpu"))) as bench:
        yield bench


def load(bench: PanelBench, path: Path) -> None:
    if not path.exists():
        pytest.skip(f"the real data is not here: {path}")
    bench.volume = slicer.util.loadVolume(str(path), {})
    slicer.app.coreIOManager().show(bench.volume)
    testing.settle()
    bench.ui.orientationsCombo.currentIndex = 1


def test_a_box_on_the_liver_of_a_nifti_file_is_propagated_over_three_slices(
    real: PanelBench, shared_data: Path
) -> None:
    load(real, shared_data / "ct_abdomen" / "ct.nii.gz")
    labels = sitk.GetArrayFromImage(sitk.ReadImage(str(shared_data / "ct_abdomen" / "organs.nii.gz")))
    truth = labels == LIVER
    rows, columns = np.nonzero(truth[24])
    real.press(real.ui.boxButton)
    real.drag((columns.min(), rows.min(), 24), (columns.max(), rows.max(), 24))
    assert real.error is None, real.line
    real.ui.rangeWidget.setValues(23, 25)
    real.enter()
    assert real.state.phase == "reviewing", real.line
    found = real.voxels()[23:26]
    assert 2 * (found & truth[23:26]).sum() / (found.sum() + truth[23:26].sum()) >= LEAST_DICE


def test_a_click_in_a_dicom_series_is_that_voxel_and_its_slice_can_be_accepted(
    real: PanelBench, shared_data: Path
) -> None:
    load(real, shared_data / "ct_dicom")
    real.click((200, 256, 10))
    assert real.error is None and real.state.previewed, real.line
    (prompt,) = real.panel.controller._core.open.prompts().values()
    # A pixel of the view is larger than a voxel.
    assert prompt.slice.index == 10 and np.allclose(prompt.ijk, (200, 256, 10), atol=2)
    display = real.volume.GetDisplayNode()
    assert real.state.window == (display.GetWindowLevelMin(), display.GetWindowLevelMax())
    shown = real.preview()[10]
    real.press(real.ui.acceptButton)
    assert shown.any() and np.array_equal(real.voxels()[10], shown)
