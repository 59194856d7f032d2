"""Section "Review": how sure the engine is of each slice, and where to look next."""

from __future__ import annotations

from slicer.i18n import tr as _

from MedSAM2Lib.errors import InputError
from MedSAM2Lib.types import SliceKey
from MedSAM2SlicerLib import application
from MedSAM2SlicerLib.panel import sentences
from MedSAM2SlicerLib.panel.context import Context, show_checked
from MedSAM2SlicerLib.panel.guard import slot
from MedSAM2SlicerLib.panel.ribbon_label import RibbonLabel
from MedSAM2SlicerLib.panel.views import SlicesInView
from MedSAM2SlicerLib.scene.flags import is_flagged
from MedSAM2SlicerLib.scene.overlay import DisagreementOverlay
from MedSAM2SlicerLib.session.state import SessionState


class ReviewingSection:
    """Ribbon, next doubtful slice, suggested prompt, disagreement.

    Args:
        context: shared by the panel's parts.
        views: which slices the views show.
    """

    def __init__(self, context: Context, views: SlicesInView) -> None:
        self._context = context
        self._views = views
        self._state = SessionState()
        self._overlay: DisagreementOverlay | None = None
        self._suggested: object = None
        ui = context.ui
        self._ribbon = RibbonLabel(ui.ribbonLabel, self._on_ribbon)
        ui.doubtfulButton.connect("clicked()", self.next_doubtful)
        ui.suggestButton.connect("clicked()", self._on_suggest)
        ui.disagreementCheck.connect("toggled(bool)", self._on_disagreement)

    def report(self, error: BaseException) -> None:
        self._context.report(error)

    def render(self, state: SessionState) -> None:
        before, self._state = self._state, state
        ui = self._context.ui
        at_rest = state.phase in ("ready", "reviewing")
        self.show_slice_in_view()
        ui.ribbonLegend.setText(self._legend(state))
        ui.doubtfulButton.setEnabled(bool(state.slices) and state.phase != "propagating")
        ui.suggestButton.setEnabled(bool(state.slices) and at_rest)
        ui.suggestionText.setVisible(state.suggestion is not None)
        if state.suggestion is not None:
            ui.suggestionText.setText(sentences.suggestion(state.suggestion))
            if state.suggestion is not before.suggestion:
                self._views.show_voxel(self._context.selection.volume, state.suggestion.ijk)
        ui.noticesText.setVisible(bool(state.notices))
        ui.noticesText.setText("\n".join(state.notices))
        self._render_overlay(state, at_rest)

    def show_slice_in_view(self) -> None:
        """Draws the ribbon with the slice that is in view now."""
        self._ribbon.render(self._state, self._here())

    @slot
    def next_doubtful(self) -> None:
        """N."""
        self._context.forget()
        key = self._context.controller.next_doubtful(self._here())
        if key is None:
            self._context.tell(_("There is no slice to doubt: propagate first."))
        else:
            self._jump(key)

    def close(self) -> None:
        """Takes the overlay away."""
        if self._overlay is not None:
            self._overlay.close()
            self._overlay = None

    def _here(self) -> int | None:
        axis, volume = self._state.axis, self._context.selection.volume
        return None if axis is None or volume is None else self._views.index_along(axis, volume)

    def _jump(self, key: SliceKey) -> None:
        self._views.show_slice(self._context.selection.volume, key)

    def _legend(self, state: SessionState) -> str:
        if not state.slices:
            return _("After a propagation, each slice's confidence is shown here; click to go there.")
        text = _("{count} slices, {doubted} in doubt (hatched). Triangle: prompted; square: drawn by hand.").format(
            count=sum(one.found for one in state.slices.values()), doubted=len(state.doubted)
        )
        chosen = self._context.selection
        if chosen.segment_id and is_flagged(chosen.segmentation, chosen.segment_id):
            text += " " + _("The segment is flagged for that.")
        return text + " " + _("Prompts have changed since: propagate again.") if state.outdated else text

    def _render_overlay(self, state: SessionState, at_rest: bool) -> None:
        check = self._context.ui.disagreementCheck
        check.setEnabled(at_rest and self._context.controller.disagreement() is not None)
        if self._overlay is not None and (not check.enabled or state.slices is not self._overlay_of):
            self.close()
            show_checked(check, False)

    @slot
    def _on_ribbon(self, index: int) -> None:
        if self._state.axis is not None:
            self._jump(SliceKey(self._state.axis, index))

    @slot
    def _on_suggest(self) -> None:
        self._context.forget()
        self._context.controller.suggest()

    @slot
    def _on_disagreement(self, shown: bool) -> None:
        self.close()
        if not shown:
            return
        found = self._context.controller.disagreement()
        if found is None:
            raise InputError("E_NO_DISAGREEMENT", "There is nothing to show yet: propagate first.")
        within, values = found
        self._overlay_of = self._state.slices
        self._overlay = DisagreementOverlay(self._context.scene, self._context.selection.volume)
        self._overlay.show(within, values, [view.node for view in application.slice_views()])
