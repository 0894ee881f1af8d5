"""A model as a folder: ``manifest.json`` and the files it names. Knows no engine and executes nothing of it."""
