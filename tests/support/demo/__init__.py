"""The demo's process and page, and a simulated Discord for the commands."""
