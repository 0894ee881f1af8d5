"""The vision half of a GPT4RoI checkpoint as the two graphs of a bundle, one tensor in memory at a time.

Knows neither the files that a checkpoint consists of nor its language model.
"""
