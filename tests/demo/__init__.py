"""The demo, and its page in a browser."""
