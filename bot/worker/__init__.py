"""One job's way from claimed to delivered or refunded."""
