"""GPT4RoI's released checkpoints as a bundle: what was asked for, the steps that can be taken up again, the story."""
