"""Oxen.ai: a queue with one event stream for all, or a synchronous endpoint; a list of generations."""
