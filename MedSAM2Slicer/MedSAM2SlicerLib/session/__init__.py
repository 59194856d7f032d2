"""What runs while a user segments: prompts, propagation, commits, corrections and undo. No Qt and no torch."""
