"""Geometry: a volume, its slices along three axes, intensity windows, and the way back to voxels."""
