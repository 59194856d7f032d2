"""The Slicer side of MedSAM2Slicer: scene, session, export, setup and panel."""

from MedSAM2SlicerLib._bootstrap import make_engine_importable

make_engine_importable()
