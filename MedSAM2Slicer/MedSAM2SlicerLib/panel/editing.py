"""Section "Edit": drawing by hand, with Slicer's segment editor, or with a plain brush where Slicer is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from MedSAM2SlicerLib import application
from MedSAM2SlicerLib.panel.brush import PlainBrush
from MedSAM2SlicerLib.panel.guard import slot
from MedSAM2SlicerLib.panel.soon import single_shot
from MedSAM2SlicerLib.session.state import SessionState


class Editor(Protocol):
    """Something to draw with. ``changed`` is called when it takes the mouse or lets it go, or has another segment.

    ``widget`` goes into the section, ``active`` says that it has the mouse and the keys, ``segment_id`` is what it
    draws on.
    """

    changed: Callable[[], None]
    widget: Any

    @property
    def active(self) -> bool: ...

    @property
    def segment_id(self) -> str: ...

    def show(self, volume: Any, segmentation: Any, segment_id: str) -> None: ...

    def enter(self) -> None: ...

    def exit(self) -> None: ...

    def save_for_undo(self) -> None: ...

    def show_keys(self, shown: bool) -> None: ...

    def close(self) -> None: ...


class EditingSection:
    """The editor in its section. Slices that are drawn are noticed by the session, whoever draws them.

    ``activity_changed`` is called with True while the editor has the mouse and the keys, and with False after;
    ``segment_chosen`` with the id of a segment that the user chose in the editor.

    Args:
        ui: the widgets.
        scene: the vtkMRMLScene.
        report: shows an exception.
    """

    def __init__(self, ui: Any, scene: Any, report: Callable[[BaseException], None]) -> None:
        self.report = report
        self.activity_changed: Callable[[bool], None] = lambda active: None
        self.segment_chosen: Callable[[str], None] = lambda segment_id: None
        self._section = ui.editSection
        self._shown = ""
        self._was_active = False
        self._entered = False
        self._timer = single_shot(self._on_editor)
        self.editor: Editor = application.segment_editor(scene) or PlainBrush(report)
        self.editor.changed = self._timer.start
        ui.editLayout.addWidget(self.editor.widget)

    @property
    def active(self) -> bool:
        """Whether the editor has the mouse."""
        return self._entered and self.editor.active

    def save_for_undo(self) -> None:
        """Before a commit: the editor's own history gets a state too."""
        if self._entered:
            self.editor.save_for_undo()

    def enter(self) -> None:
        self._entered = True
        self.editor.enter()

    def exit(self) -> None:
        self.editor.exit()
        self._on_editor()
        self._timer.stop()
        self._entered = False

    def close(self) -> None:
        self.editor.close()

    def show_choice(self, volume: Any, segmentation: Any, segment_id: str) -> None:
        """Draws on what is chosen from now on."""
        self._shown = segment_id
        self.editor.show(volume, segmentation, segment_id)

    def render(self, state: SessionState) -> None:
        """While slices come, and where nothing is open, there is nothing to draw on."""
        self._section.setEnabled(state.phase not in ("idle", "propagating"))

    @slot
    def _on_editor(self) -> None:
        """From the event loop: keys must not be replaced while one of them is being served."""
        if not self._entered:
            return
        if self.editor.active != self._was_active:
            self._was_active = self.editor.active
            self.activity_changed(self._was_active)
            self.editor.show_keys(self._was_active)
        chosen = self.editor.segment_id
        if chosen and self._shown and chosen != self._shown:
            self.segment_chosen(chosen)
