"""How good segmentations are: cases with known truth, simulated users, metrics, settings side by side; pictures."""
