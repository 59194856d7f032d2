"""What stands in the MRML scene: the volume's geometry, prompts, preview, segments and where they came from."""
