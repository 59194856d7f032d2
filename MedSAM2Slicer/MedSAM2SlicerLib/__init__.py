"""The Slicer side of MedSAM2Slicer: scene, session, export and panel."""
