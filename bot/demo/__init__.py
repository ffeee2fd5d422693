"""The demo: a play in which the real bot paints in a simulated Discord."""
