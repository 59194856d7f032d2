"""One-Prompt segmentation of unordered 2D images: prompt one, and the memory bank carries the object to the others.

Zhu et al. 2024, "Medical SAM 2: Segment medical images as video via Segment Anything Model 2" (arXiv 2408.00874).
"""
