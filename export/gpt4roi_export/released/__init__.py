"""What others released: a LLaMA base, a delta, a merged GPT4RoI and a CLIP, told apart, checked and paired."""
