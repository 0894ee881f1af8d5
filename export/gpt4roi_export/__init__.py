"""Checkpoints and weights in, bundles out; the only package that knows torch.

Knows no engine of the runtime and no window. ``gpt4roi-export embedded`` works without torch.
"""
