"""The nouns, one to a file: the standard library and nothing else."""
