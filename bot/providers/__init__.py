"""The image services that Easel can use, a package each, and what they share."""
