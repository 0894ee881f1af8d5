"""The model in a process of its own: a crash of an engine, or a long answer, never touches the caller."""
