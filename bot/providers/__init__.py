"""The services that paint, one module each."""
