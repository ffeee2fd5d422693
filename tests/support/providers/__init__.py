"""A provider and its stand-in."""
