"""Composed scenes: objects on backdrops, with facts about every region."""
