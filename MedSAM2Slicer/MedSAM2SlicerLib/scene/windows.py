"""Grey values that are shown as black and white: what the user sees, and what the engine is shown at first."""

from __future__ import annotations

from typing import Any

from MedSAM2Lib.types import PointPrompt, Prompt
from MedSAM2Lib.volume.prompted_window import window_of_prompt
from MedSAM2Lib.volume.volume import Volume, replace_non_finite


def display_window(volume_node: Any) -> tuple[float, float] | None:
    """The grey values that a volume's display shows as black and white; None without a display."""
    display = volume_node.GetDisplayNode()
    if display is None or display.GetWindow() <= 0:
        return None
    half = display.GetWindow() / 2
    return display.GetLevel() - half, display.GetLevel() + half


def first_window(volume_node: Any, volume: Volume, prompt: Prompt) -> tuple[float, float] | None:
    """The window of a session's first positive prompt, None for a negative: the display's where user or file set it.

    Slicer's own automatic one spans air to bone in a CT and leaves little contrast between organs: then it is the
    window that the engine takes by itself from the voxels and from what the prompt points at.
    """
    if isinstance(prompt, PointPrompt) and not prompt.positive:
        return None
    display = volume_node.GetDisplayNode()
    shown = display_window(volume_node)
    if shown is not None and not display.GetAutoWindowLevel():
        return shown
    return prompted_window(volume, prompt)


def prompted_window(volume: Volume, prompt: Prompt) -> tuple[float, float]:
    """The window that the engine takes by itself from the voxels and from what the prompt points at."""
    window = window_of_prompt(replace_non_finite(volume)[0], prompt)
    return window.low, window.high
