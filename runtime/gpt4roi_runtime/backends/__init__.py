"""The only importers of engines, one file each, imported late."""
