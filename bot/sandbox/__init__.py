"""Local stand-ins for Discord and the services, spoken to over sockets, and the demo."""
