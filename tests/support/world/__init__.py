"""The bot between its stand-ins: in this process, or as one of its own."""
