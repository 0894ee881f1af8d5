"""The desktop app's package; it has no window yet. Only here may Qt be imported."""
