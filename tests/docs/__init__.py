"""Pages of the docs, followed step by step."""
