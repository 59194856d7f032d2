"""Corrected volumes as cases to train on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from MedSAM2Lib.errors import InputError
from MedSAM2SlicerLib.scene.nodes import is_alive, require
from MedSAM2SlicerLib.scene.provenance import ProvenanceStore
from MedSAM2SlicerLib.scene.segments import segment_ids, segment_name
from MedSAM2SlicerLib.scene.training_case import save_training_case
from MedSAM2SlicerLib.session.ports import Node


class Chosen(Protocol):
    """What the user has chosen to work on."""

    @property
    def volume(self) -> Node: ...

    @property
    def segmentation(self) -> Node: ...


class Cases:
    """Saves the chosen volume and segmentation.

    Args:
        chosen: asked for nodes at every call.
        window: grey values that were shown to the engine as black and white.
        settle: commits what is previewed, as ``SessionController.settle``; says whether nothing is pending any more.
    """

    def __init__(
        self,
        chosen: Callable[[], Chosen],
        window: Callable[[], tuple[float, float] | None],
        settle: Callable[[str, bool], bool],
    ) -> None:
        self._chosen = chosen
        self._window = window
        self._settle = settle

    @property
    def can_save(self) -> bool:
        """Whether a volume and a segmentation are chosen and still there."""
        chosen = self._chosen()
        return is_alive(chosen.volume) and is_alive(chosen.segmentation)

    def save(self, folder: Path) -> Path:
        """Writes volume, segments and provenance into a new folder in ``folder``, and returns that.

        Raises InputError ``E_STILL_BUSY``, ``E_NODE_GONE``, and as ``save_training_case`` raises.
        """
        if not self._settle("before the training case was saved", True):
            raise InputError(
                "E_STILL_BUSY", "The engine is still at work: press Esc, and try again when it has stopped."
            )
        chosen = self._chosen()
        volume, segmentation = require(chosen.volume, "volume"), require(chosen.segmentation, "segmentation")
        store = ProvenanceStore(segmentation.GetScene(), segmentation)
        try:
            segments = {segment_name(segmentation, each): store.read(each) for each in segment_ids(segmentation)}
        finally:
            store.close()
        return save_training_case(folder, volume, segmentation, self._window(), {"segments": segments})
