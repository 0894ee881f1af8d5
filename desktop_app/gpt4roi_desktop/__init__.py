"""The desktop app: draw boxes on a photo and ask about them. Only ``views`` and ``app`` import Qt."""
