"""Widgets: they show the controller's state and turn a hand's doings into calls. Nothing here decides."""
