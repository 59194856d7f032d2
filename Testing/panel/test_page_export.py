"""The page "Export DICOM-SEG" in the real panel: what it finds, what its buttons mend, what it writes and reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slicer

from SlicerHost import testing
from Testing.panel.panel_ground import PanelBench
from Testing.scene.dicom_ground import SHAPE, add_segments, blocks, read_by_highdicom, write_ct

NAMES = ["liver", "left kidney", "spleen"]


class Opened:
    """The panel on a volume from a DICOM series with three segments; the section is open."""

    def __init__(self, bench: PanelBench, folder: Path, names: list[str] = NAMES) -> None:
        self.bench = bench
        self.page = bench.panel.pages.export
        bench.volume = self.volume = slicer.util.loadVolume(str(folder))
        testing.settle()
        self.masks = blocks(SHAPE)
        self.segmentation, self.ids = add_segments(self.volume, self.masks, names)
        bench.panel.selection.choose_segmentation(self.segmentation)
        bench.panel.refresh()
        self.page.widget.parent().collapsed = False
        testing.settle()

    def find(self, name: str) -> Any:
        import qt

        return self.page.widget.findChild(qt.QWidget, name)

    @property
    def lines(self) -> dict[str, Any]:
        """Lines by their code, or check where all is well."""
        return {line.code or line.check: line for line in self.page._lines}

    def press_fix(self, code: str) -> None:
        place = [line.code for line in self.page._lines].index(code)
        self.bench.press(self.find(f"ExportLineButton{place}"))

    def export(self, folder: Path) -> Path:
        self.find("ExportFolderEdit").currentPath = str(folder)
        self.bench.press(self.find("ExportButton"))
        self.bench.rest(lambda: not self.page._run.running)
        testing.settle()
        return max(folder.glob("*.dcm"), key=lambda path: path.stat().st_mtime_ns)

    @property
    def said(self) -> str:
        return self.find("ExportSaidLabel").text


@pytest.fixture
def opened(bench: PanelBench, tmp_path: Path) -> Opened:
    return Opened(bench, write_ct(tmp_path / "ct"))


def test_two_clicks_write_the_file_and_the_line_says_what_it_is(opened: Opened, tmp_path: Path) -> None:
    opened.find("ExportFolderEdit").currentPath = str(tmp_path / "out")
    file = opened.export(tmp_path / "out")
    assert str(file) in opened.said and "Read back: identical." in opened.said and "kB" in opened.said
    for mask, found in zip(opened.masks, read_by_highdicom(file, opened.volume).values()):
        assert np.array_equal(mask, found)
