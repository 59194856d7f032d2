"""Grey values that are shown as black and white: what the user sees, and what the engine is shown at first."""

from __future__ import annotations

from typing import Any

from MedSAM2Lib.volume.intensity import automatic_window
from MedSAM2Lib.volume.volume import Volume, replace_non_finite


def display_window(volume_node: Any) -> tuple[float, float] | None:
    """The grey values that a volume's display shows as black and white; None without a display."""
    display = volume_node.GetDisplayNode()
    if display is None or display.GetWindow() <= 0:
        return None
    half = display.GetWindow() / 2
    return display.GetLevel() - half, display.GetLevel() + half


def first_window(volume_node: Any, volume: Volume) -> tuple[float, float]:
    """The window of a session's first prompt: the display's where the user or the file has set it.

    Slicer's own automatic one spans air to bone in a CT and leaves little contrast between organs: then it is the
    window that the engine takes from the voxels by itself.
    """
    display = volume_node.GetDisplayNode()
    shown = display_window(volume_node)
    if shown is not None and not display.GetAutoWindowLevel():
        return shown
    return voxels_window(volume)


def voxels_window(volume: Volume) -> tuple[float, float]:
    """The window that the engine takes from the voxels by itself."""
    window = automatic_window(replace_non_finite(volume)[0])
    return window.low, window.high
