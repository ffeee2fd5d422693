"""A stand-in for Lumenfall."""
