"""Every test of Easel."""
