"""What one button can do about an error."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from slicer.i18n import tr as _

from MedSAM2SlicerLib import application
from MedSAM2SlicerLib.panel.selection import Selection
from MedSAM2SlicerLib.scene.flags import choose_status
from MedSAM2SlicerLib.scene.grids import convert_segmentation, follow_transform
from MedSAM2SlicerLib.scene.views import align_view
from MedSAM2SlicerLib.session.state import SessionError

Fields = Mapping[str, object]


@dataclass(frozen=True)
class Fix:
    """A button's text and what it does, given the error's fields."""

    label: str
    run: Callable[[Fields], None]


class Fixes:
    """Fixes by the code of the error; other pages add theirs.

    Args:
        selection: what is chosen.
    """

    def __init__(self, selection: Selection) -> None:
        self._selection = selection
        add = Fix(_("Add a segment"), lambda fields: _ignore(selection.add_segment()))
        convert = Fix(_("Convert a copy"), self._convert)
        self._fixes: dict[str, tuple[Fix, ...]] = {
            "E_GEOMETRY_MISMATCH": (convert,),
            "E_TRANSFORM_MISMATCH": (Fix(_("Follow the volume"), self._follow), convert),
            "E_TRANSFORM_NONLINEAR": (Fix(_("Harden the transform"), self._harden),),
            "E_VIEW_OBLIQUE": (Fix(_("Align the view"), self._align),),
            "E_SEGMENT_LOCKED": (Fix(_("Mark as in progress"), self._unlock),),
            "E_SEGMENT_HIDDEN": (Fix(_("Show the segment"), self._show),),
            "E_NO_SEGMENT": (add,),
            "E_NO_SEGMENTATION": (add,),
            "E_NOTHING_OPEN": (add,),
        }

    def add(self, code: str, *fixes: Fix) -> None:
        """Fixes of an error that another page can mend."""
        self._fixes[code] = fixes

    def of(self, error: SessionError) -> tuple[Fix, ...]:
        """At most two."""
        return self._fixes.get(error.code, ())[:2]

    def _convert(self, _fields: Fields) -> None:
        chosen = self._selection
        name = chosen.segment_id
        copy = convert_segmentation(chosen.segmentation, chosen.volume)
        chosen.segmentation.SetDisplayVisibility(False)
        chosen.choose_segmentation(copy)
        if name:
            chosen.choose_segment(name)

    def _follow(self, _fields: Fields) -> None:
        follow_transform(self._selection.segmentation, self._selection.volume)

    def _harden(self, _fields: Fields) -> None:
        for node in (self._selection.volume, self._selection.segmentation):
            if node is not None and node.GetParentTransformNode() is not None:
                node.HardenTransform()

    def _align(self, fields: Fields) -> None:
        for node in _slice_nodes(fields):
            align_view(node, self._selection.volume)

    def _unlock(self, fields: Fields) -> None:
        choose_status(self._selection.segmentation, str(fields["segment_id"]), "in progress")

    def _show(self, fields: Fields) -> None:
        display = self._selection.segmentation.GetDisplayNode()
        display.SetVisibility(True)
        display.SetSegmentVisibility(str(fields["segment_id"]), True)


def _slice_nodes(fields: Fields) -> list[Any]:
    return [view.node for view in application.slice_views() if view.node.GetName() == fields["view"]]


def _ignore(_result: object) -> None:
    return None
