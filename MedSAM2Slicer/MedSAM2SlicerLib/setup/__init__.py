"""What has to be there before a segmentation: packages, PyTorch, models, a device. Importing it imports no torch."""
