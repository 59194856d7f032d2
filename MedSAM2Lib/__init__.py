"""MedSAM2Lib: the engine of MedSAM2Slicer. A volume is a video in three directions; a prompt on one slice is enough.

Importing this package imports neither torch nor any Slicer library; each room is imported where it is used.
"""

__version__ = "0.1.0"
