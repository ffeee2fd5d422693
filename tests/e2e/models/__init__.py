"""Which model paints what, from end to end."""
