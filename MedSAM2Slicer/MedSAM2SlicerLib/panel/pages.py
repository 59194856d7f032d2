"""Pages beside the main flow: each is a collapsed section at the panel's end."""

from __future__ import annotations

from typing import Any

import ctk
import qt

from MedSAM2SlicerLib.panel.context import Page

MARGIN = 8


def add_section(layout: Any, page: Page) -> Any:
    """Puts a page's widget into a collapsed section at the end of a layout; returns the section."""
    section = ctk.ctkCollapsibleButton()
    section.setText(page.title)
    inner = qt.QVBoxLayout(section)
    inner.setContentsMargins(MARGIN, MARGIN, MARGIN, MARGIN)
    inner.addWidget(page.widget)
    section.collapsed = True
    layout.addWidget(section)
    return section
