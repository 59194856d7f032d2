"""Start the stand-in in the order that works: environment, Qt's manners, scene and logics, then the window."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse

    from .application import Application
    from .scripted import ScriptedModule


@dataclass(frozen=True)
class Host:
    """The running stand-in. `app` is `slicer.app`."""

    app: Application

    @property
    def window(self) -> Any:
        import slicer

        return slicer.util.mainWindow()

    def load_module(self, path: Path, enter: bool = True) -> ScriptedModule:
        """Load a scripted module and open its panel."""
        from .scripted import load_module

        module = load_module(path)
        if enter and self.window is not None:
            self.window.moduleSelector().selectModule(module.name)
        return module

    def clear(self) -> None:
        """Close the scene, as between two tests; the views stay, and `slicer.mrmlScene` is this host's again."""
        import slicer

        from .testing import settle

        slicer.mrmlScene = self.app.mrmlScene()
        slicer.mrmlScene.Clear(False)
        settle()

    def run(self, options: argparse.Namespace) -> int:
        """Show the window, open what was asked for, and run until it is closed; returns the exit status."""
        import slicer
        from PySide6 import QtCore

        from .testing import save_picture, set_palette

        if options.palette:
            set_palette(options.palette)
        self.window.resize(*(int(part) for part in options.size.split("x")))
        self.window.show()
        if options.volume:
            slicer.util.loadNodeFromFile(str(options.volume), properties={})
        if options.screenshot:
            QtCore.QTimer.singleShot(1000, lambda: save_picture(self.window, options.screenshot))
        if options.python_code:
            self.app.connect("startupCompleted()", lambda: run_code(options.python_code))
        if options.quit_after_seconds is not None:
            QtCore.QTimer.singleShot(int(options.quit_after_seconds * 1000), self.app.quit)
        return self.app.run()


def run_code(code: str) -> None:
    """Runs Python as if typed in; where it raises, the application ends with exit status 1."""
    import slicer

    ended_well = False
    try:
        exec(compile(code, "<python-code>", "exec"), {"__name__": "__main__"})
        ended_well = True
    finally:
        if not ended_well:
            slicer.app.exit(1)


def module_file(path: Path) -> Path:
    """The file of a module given by itself or by its folder; raises FileNotFoundError with what was looked for."""
    file = path / f"{path.name}.py" if path.is_dir() else path
    if not file.is_file():
        raise FileNotFoundError(
            f"there is no module at {file}: name a folder that holds a .py file of its own name, or that file"
        )
    return file


def prepare_environment() -> None:
    """Before anything of Qt or VTK is imported: enums that are ints, and pictures without a display on Linux."""
    os.environ.setdefault("PYSIDE6_OPTION_PYTHON_ENUM", "2")
    if sys.platform == "linux":
        os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")


def open_host(with_window: bool = True, testing: bool = False) -> Host:
    """The stand-in of this process, with an empty scene; `slicer`, `qt` and `ctk` can be imported from now on."""
    prepare_environment()
    from . import ctk_widgets, mrml_widgets, pythonqt

    sys.modules["qt"] = pythonqt.install()
    sys.modules["ctk"] = ctk_widgets.ctk_module()
    pythonqt.UiLoader.custom_widgets = (*ctk_widgets.WIDGETS, *mrml_widgets.WIDGETS)

    from . import scripted
    from .application import Application
    from .scene import start_core

    scripted.install_names()
    app = Application(sys.argv[:1])
    app.start(start_core(), with_window, testing)
    return Host(app)
