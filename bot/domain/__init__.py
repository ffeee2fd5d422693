"""The nouns: the standard library and nothing else."""
