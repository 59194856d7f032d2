"""What stands in the MRML scene: the volume's geometry, prompts, the preview, the segmentation and where it came from."""
