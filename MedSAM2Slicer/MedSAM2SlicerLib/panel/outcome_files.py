"""The scene and a picture of the window in files, which appear whole or not at all."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from pathlib import Path

import slicer

from MedSAM2Lib.errors import OutputError
from MedSAM2SlicerLib import application


def save_scene(path: Path) -> None:
    """Writes the scene as an MRB that appears whole or not at all. Raises OutputError."""
    try:
        folder = Path(tempfile.mkdtemp(prefix=".partial-", dir=path.resolve().parent))
    except OSError as error:
        raise _not_written(path, error.strerror) from error
    try:
        if not slicer.util.saveScene(str(folder / path.name), properties={}):
            raise _not_written(path, "the scene could not be stored")
        (folder / path.name).replace(path)
    except OSError as error:
        raise _not_written(path, error.strerror) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def save_screenshot(path: Path) -> None:
    """Writes the main window, views included, as a PNG. Raises OutputError."""
    for view in application.slice_views():
        view.widget.forceRender()
    layout = application.layout_manager()
    for place in range(layout.threeDViewCount):
        layout.threeDWidget(place).threeDView().forceRender()
    application.process_events()
    partial = path.with_name(f".partial-{path.name}")
    try:
        if not application.main_window().grab().save(str(partial), "PNG"):
            raise _not_written(path, "the picture could not be stored")
        partial.replace(path)
    except OSError as error:
        raise _not_written(path, error.strerror) from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()


def _not_written(path: Path, reason: str | None) -> OutputError:
    return OutputError(
        "E_OUT_WRITE",
        "{path} could not be written ({reason}): check the free space and your permissions, or choose another place.",
        path=path,
        reason=reason,
    )
