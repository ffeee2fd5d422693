"""The services that paint, a package each, and what they share."""
