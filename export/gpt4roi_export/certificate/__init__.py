"""A bundle held against the checkpoint it was made from, stage by stage, and the paper that says so."""
