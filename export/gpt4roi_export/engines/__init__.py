"""A bundle's graphs as TensorRT plans: converted graphs, GPUs to build for, an engine's builder in its own process."""
