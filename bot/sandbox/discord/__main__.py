"""The command line of Discord's stand-in."""

from bot.sandbox.discord.server import main

if __name__ == "__main__":
    main()
