"""What the providers share: HTTP, downloads, polling."""
