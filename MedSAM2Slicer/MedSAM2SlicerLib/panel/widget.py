"""The panel: built from its .ui file, wired to one session, and rendered from the session's state."""

from __future__ import annotations

from typing import Any

import slicer

from MedSAM2SlicerLib import application
from MedSAM2SlicerLib.panel.all_pages import Pages
from MedSAM2SlicerLib.panel.choosing import ChoosingSection
from MedSAM2SlicerLib.panel.clicks import Tool, ViewClicks
from MedSAM2SlicerLib.panel.context import Context, Page, Part
from MedSAM2SlicerLib.panel.editing import EditingSection
from MedSAM2SlicerLib.panel.fixes import Fixes
from MedSAM2SlicerLib.panel.guard import slot
from MedSAM2SlicerLib.panel.pages import add_section
from MedSAM2SlicerLib.panel.prompting import PromptingSection
from MedSAM2SlicerLib.panel.propagating import PropagatingSection
from MedSAM2SlicerLib.panel.reviewing import ReviewingSection
from MedSAM2SlicerLib.panel.scene_watch import SceneWatch
from MedSAM2SlicerLib.panel.selection import Selection, shown_volume
from MedSAM2SlicerLib.panel.shortcuts import Shortcuts
from MedSAM2SlicerLib.panel.soon import single_shot
from MedSAM2SlicerLib.panel.status_line import StatusLine
from MedSAM2SlicerLib.panel.surface import Surface
from MedSAM2SlicerLib.panel.ticker import QtTicker
from MedSAM2SlicerLib.panel.user_settings import UserSettings
from MedSAM2SlicerLib.panel.views import SlicesInView
from MedSAM2SlicerLib.resources import resources_dir
from MedSAM2SlicerLib.session.controller import SessionController
from MedSAM2SlicerLib.session.ports import EngineFactory
from MedSAM2SlicerLib.session.scene_parts import MrmlScene
from MedSAM2SlicerLib.session.state import SessionState
from MedSAM2SlicerLib.session.worker import Worker

PAUSE_MS = 400
"""How long nothing is drawn before what was drawn is looked at."""


def default_engine_factory(settings: UserSettings) -> EngineFactory:
    """Engines as the user's settings want them; importing and loading begins with the first prompt."""
    from MedSAM2SlicerLib.setup.engine_factory import EngineFactory as Factory

    return Factory(settings.engine)


class MedSAM2Panel:
    """The module's panel; ``widget`` goes into the module's layout.

    Args:
        engine_factory: makes engines; by the user's settings if not given.
        scene: the vtkMRMLScene; the application's if not given.
    """

    def __init__(self, engine_factory: EngineFactory | None = None, scene: Any = None) -> None:
        self.scene = scene or slicer.mrmlScene
        self.settings = UserSettings()
        self.widget = slicer.util.loadUI(str(resources_dir() / "UI" / "MedSAM2Slicer.ui"))
        self.ui = slicer.util.childWidgetVariables(self.widget)
        self.widget.setMRMLScene(self.scene)  # before anything listens: Slicer's selectors then tell of no node
        self._entered = False
        self._pace: float | None = None
        self._parts: list[Part] = []
        self.surface = Surface(self.ui.surfaceCheck, lambda: self.state.busy, self.report)
        self.editing = EditingSection(self.ui, self.scene, self.report)
        self.engine_factory = engine_factory or default_engine_factory(self.settings)
        self.worker = Worker()
        self.controller = SessionController(
            self.engine_factory,
            MrmlScene(self.scene, before_change=self._before_change),
            QtTicker(self.report),
            self._render,
            stored_seconds=self.settings.seconds_per_slice,
            worker=self.worker,
        )
        self.selection = Selection(self.scene, self.controller)
        self.fixes = Fixes(self.selection)
        self.status = StatusLine(self.ui, self.fixes, self._after_fix, lambda: self.selection.volume is not None)
        self.context = Context(
            self.ui,
            self.scene,
            self.controller,
            self.selection,
            self.report,
            self.status.tell,
            self.status.forget,
            self.refresh,
        )
        self.views = SlicesInView(self._on_views, self.report)
        self.choosing = ChoosingSection(self.context)
        self.prompting = PromptingSection(self.context)
        self.propagating = PropagatingSection(self.context)
        self.reviewing = ReviewingSection(self.context, self.views)
        self._parts = [self.status, self.choosing, self.prompting, self.propagating, self.reviewing, self.editing]
        self.clicks = ViewClicks(self.prompting, self.prompting.tool, lambda: self.editing.active)
        self.shortcuts = Shortcuts(application.main_window(), self._keys())
        self.editing.activity_changed = self.shortcuts.step_aside
        self.editing.segment_chosen = self._on_segment_of_editor
        self._watch = SceneWatch(self.scene, self._on_scene, self.report)
        self.choosing.renewing = lambda: self._watch.renewing
        self._edits_timer = single_shot(self._look_at_edits, PAUSE_MS)
        self.pages = Pages(self)
        layout = application.layout_manager()
        if layout is not None:
            layout.connect("layoutChanged(int)", self._on_layout)
        self.refresh()

    @property
    def state(self) -> SessionState:
        """What the session shows now."""
        return self.controller.state

    def add_page(self, page: Page) -> None:
        """A section of its own below the others."""
        add_section(self.ui.pagesLayout, page)
        self._parts.append(page)
        page.render(self.state)

    @slot
    def enter(self) -> None:
        """The module is opened: keys, clicks, and what the scene was saved with."""
        self._entered = True
        self._follow_views()
        self.shortcuts.install()
        self.editing.enter()
        self._begin()

    @slot
    def exit(self) -> None:
        """The module is left: what is previewed is committed, and the mouse and the keys are Slicer's again."""
        self._entered = False
        self.editing.exit()
        self.shortcuts.remove()
        self.clicks.stop()
        self.views.stop()
        self.reviewing.close()
        self.controller.leave()

    def close(self) -> None:
        """Slicer ends, or the module is reloaded."""
        if self._entered:
            self.exit()
        self.pages.close()
        layout = application.layout_manager()
        if layout is not None:
            layout.disconnect("layoutChanged(int)", self._on_layout)
        self._edits_timer.stop()
        self._watch.close()
        self.editing.close()
        self.controller.close()
        self.surface.close()
        self.selection.close()

    def report(self, error: BaseException) -> None:
        """Shows what went wrong in the line at the top."""
        self.status.report(error)

    def refresh(self) -> None:
        """Brings everything in line with scene and session."""
        self._adopt_shown_volume()
        self.choosing.show_choice()
        self._watch.watch(self.selection.segmentation)
        self.surface.show_choice(self.selection.segmentation)
        self.editing.show_choice(self.selection.volume, self.selection.segmentation, self.selection.segment_id)
        self._render(self.state)

    def _render(self, state: SessionState) -> None:
        """One way, from the state to the widgets; what comes back meanwhile is the session's next state."""
        for part in self._parts:
            part.render(state)
        if state.edited and not state.busy:
            self._edits_timer.start()
        self._keep_pace(state)

    def _keep_pace(self, state: SessionState) -> None:
        """What was measured serves the estimates of later sessions."""
        pace = state.seconds_per_slice
        if pace and pace != self._pace and state.phase == "reviewing" and not application.is_testing():
            self.settings.seconds_per_slice = self._pace = pace

    def _keys(self) -> dict[str, Any]:
        return {
            "Return": self.propagating.propagate,
            "Enter": self.propagating.propagate,
            "Shift+Return": self.propagating.accept,
            "Shift+Enter": self.propagating.accept,
            "Escape": self._escape,
            "N": self.reviewing.next_doubtful,
            "Ctrl+Z": self.prompting.undo,
            "Ctrl+Y": self.prompting.redo,
            "Ctrl+Shift+Z": self.prompting.redo,
        }

    @slot
    def _escape(self) -> None:
        """Drops a drag; else stops a propagation; else puts the tool away."""
        if self.clicks.cancel():
            return
        if self.state.phase == "propagating":
            self.propagating.stop()
        else:
            self.prompting.latch(Tool())

    def _begin(self) -> None:
        """With what the scene remembers: options, what is chosen, a tool in hand."""
        self.propagating.take_options()
        if not self.selection.parameters.tool:
            self.selection.parameters.tool = "point"
        self.refresh()
        self.selection.open_again()

    def _before_change(self) -> None:
        self.editing.save_for_undo()
        self.surface.before_change()

    def _on_scene(self, renewed: bool) -> None:
        """Something came or went; ``renewed``: the scene was closed, or another one came into it."""
        if renewed and self._entered:
            self.editing.enter()
            self._begin()
        else:
            self.refresh()

    def _after_fix(self) -> None:
        self.refresh()
        if not self.selection.is_open:
            self.selection.open()

    def _adopt_shown_volume(self) -> None:
        """Where nothing is chosen, the volume that the views show."""
        if self._entered and self.selection.volume is None and not self.scene.IsClosing():
            for view in application.slice_views():
                node = shown_volume(self.scene, view.node)
                if node is not None:
                    self.selection.adopt_volume(node)
                    return

    def _follow_views(self) -> None:
        self.views.start()
        self.clicks.start()

    @slot
    def _on_layout(self, _layout: int) -> None:
        if self._entered:
            self._follow_views()

    @slot
    def _on_segment_of_editor(self, segment_id: str) -> None:
        self.selection.choose_segment(segment_id)
        self.refresh()

    @slot
    def _on_views(self) -> None:
        self.reviewing.show_slice_in_view()
        self.pages.show_slice_in_view()

    @slot
    def _look_at_edits(self) -> None:
        self.controller.look_at_edits()
