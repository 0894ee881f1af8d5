"""Pictures for composed scenes: out of published packages, into a folder with an index."""
