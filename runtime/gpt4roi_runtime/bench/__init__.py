"""Measures a bundle on this machine, in the manner of llama.cpp's llama-bench, and compares two results."""
