"""What every provider needs: errors of HTTP, downloads, polling, and its entry in the registry."""
