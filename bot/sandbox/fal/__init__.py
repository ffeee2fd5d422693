"""A stand-in for fal.ai."""
