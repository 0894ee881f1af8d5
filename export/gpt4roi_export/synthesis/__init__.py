"""Checkpoints with random weights under the released names, for trying an import without the real ones."""
