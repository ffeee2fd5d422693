"""A provider and its stand-in, for each provider."""
