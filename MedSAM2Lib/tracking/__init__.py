"""Prompts in, masks out: sessions, the tracker, propagation."""
