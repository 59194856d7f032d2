"""What can go wrong before there is an engine."""

from __future__ import annotations

from MedSAM2Lib.errors import MedSAM2Error


class SetupError(MedSAM2Error):
    """Something that the module needs is not installed, or could not be."""
