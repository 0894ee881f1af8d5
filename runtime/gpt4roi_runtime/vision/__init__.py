"""What must be true of a vision engine, and the NumPy definitions it is held against; knows no engine."""
