"""A stand-in for Oxen.ai."""
