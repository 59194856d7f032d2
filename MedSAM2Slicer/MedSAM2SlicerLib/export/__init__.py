"""DICOM-SEG from the scene and back into it: nodes become arguments of MedSAM2Lib.dicom. Needs no Qt."""
