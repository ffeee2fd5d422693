"""The models: what becomes of each option at each provider, what it costs, an operator's own files."""
