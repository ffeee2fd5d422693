"""What tests are made of: stand-ins around the bot, raw servers, processes, pages."""
