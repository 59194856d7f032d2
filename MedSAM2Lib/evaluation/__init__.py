"""Metrics, phantoms and pictures: how good a segmentation is, and what it looks like."""
