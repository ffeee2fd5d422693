"""One job's way from claimed to delivered, or its reservation released."""
