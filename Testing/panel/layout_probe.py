"""Loads the module as Slicer does, with nothing but its own folder on the search path, and prints what it found.

Run by `python -S` (no editable installation) with the module file, the folder of installed packages, the folder of
SlicerHost, and `setup` or `click`: `setup` opens the panel without torch and without a window; `click` clicks in a view
with the embedded model, and accepts the slice.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import Any


def load_host(folder: Path) -> None:
    """SlicerHost from its folder, without the folder above it on the search path."""
    spec = importlib.util.spec_from_file_location(
        "SlicerHost", folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None and spec.loader is not None
    sys.modules["SlicerHost"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules["SlicerHost"])


def found_files(module: Any, before: set[str]) -> dict[str, Any]:
    import MedSAM2SlicerLib.resources as module_resources

    import MedSAM2Lib
    import MedSAM2Lib.resources as engine_resources
    from MedSAM2Lib.weights.catalogue import find_entry, model_path, read_catalogue

    embedded = model_path(find_entry("embedded", read_catalogue()), Path("/nowhere"))
    return {
        "title": module.title,
        "categories": module.categories,
        "has_icon": not module.icon.isNull(),
        "module_file": str(module_resources.module_file()),
        "requirements": (module_resources.resources_dir() / "requirements.txt").is_file(),
        "engine": str(Path(MedSAM2Lib.__file__).parent),
        "engine_resources": str(engine_resources.resources_dir()),
        "embedded_bytes": embedded.stat().st_size,
        "added_to_the_path": sorted({*sys.path} - before),
        "torch": sys.modules.get("torch") is not None,
    }


def click() -> dict[str, Any]:
    """One click into a bright block, and the slice accepted: voxels of the segment, how many of them in the block."""
    import numpy as np
    import slicer

    from SlicerHost.testing import click_ijk, settle, wait_until

    grey = np.random.default_rng(0).normal(0.0, 10.0, (24, 64, 64))
    grey[6:18, 20:40, 24:48] += 120.0
    volume = slicer.util.addVolumeFromArray(grey.astype(np.int16))
    volume.CreateDefaultDisplayNodes()
    slicer.util.setSliceViewerLayers(background=volume, fit=True)
    slicer.util.mainWindow().moduleSelector().selectModule("MedSAM2Slicer")
    settle()
    panel = slicer.modules.MedSAM2SlicerWidget.panel
    click_ijk("Red", volume, (36, 30, 12))
    try:
        wait_until(lambda: panel.state.phase == "ready", 60.0)
    except AssertionError:
        raise AssertionError(f"{panel.state.phase}: {panel.state.error} {panel.ui.statusText.text}") from None
    panel.ui.acceptButton.click()
    wait_until(lambda: not panel.state.busy)
    node = panel.selection.segmentation
    mask = slicer.util.arrayFromSegmentBinaryLabelmap(node, panel.selection.segment_id, volume) > 0
    slicer.util.mainWindow().moduleSelector().selectModule("")
    panel.close()
    return {"voxels": int(mask.sum()), "in_the_block": int(mask[12, 20:40, 24:48].sum())}


def main() -> None:
    module_path, packages, host_folder = map(Path, sys.argv[1:4])
    clicks = sys.argv[4] == "click"
    sys.path[:] = [str(packages), *(place for place in sys.path if place and Path(place) != Path(__file__).parent)]
    os.environ["QT_QPA_PLATFORM"] = "offscreen"
    if not clicks:
        sys.modules["torch"] = None  # type: ignore[assignment]
    load_host(host_folder)
    from SlicerHost.start import open_host

    before = {*sys.path}
    host = open_host(with_window=clicks, testing=True)
    if clicks:
        host.window.resize(1100, 760)
        host.window.show()
    module = host.load_module(module_path, enter=False)
    result = click() if clicks else {"panel": type(module.widgetRepresentation().self().panel).__name__}
    print(json.dumps({**found_files(module, before), **result}), flush=True)
    os._exit(0)  # what Qt and VTK take down at the end of a process is not what is asked about here


if __name__ == "__main__":
    main()
