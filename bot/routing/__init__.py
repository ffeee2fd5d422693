"""Which provider is asked next for a model."""
