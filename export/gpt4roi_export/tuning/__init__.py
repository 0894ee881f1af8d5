"""Tuning of the embedded model: the region module, its projector and a LoRA on the language model.

Imported only by the command that needs it, because it needs torch.
"""
