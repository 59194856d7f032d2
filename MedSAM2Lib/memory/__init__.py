"""The memory banks: what is remembered of an object, and what of it is shown to the next slice."""
