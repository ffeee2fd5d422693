"""Local stand-ins for Discord and the image services, spoken to over sockets. They import nothing of Easel."""
