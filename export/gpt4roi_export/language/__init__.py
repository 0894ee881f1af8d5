"""The language half of an import: LLaMA's tensors and vocabulary -> a GGUF of half floats -> llama.cpp's quantiser.

Does not know vision, checkpoints' file formats, or the terminal.
"""
