"""discord.py: the client, what goes to Discord and what comes from it."""
