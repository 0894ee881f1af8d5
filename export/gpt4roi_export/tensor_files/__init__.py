"""Checkpoint files as named arrays: torch's two formats and safetensors, one file or many, one tensor in memory."""
