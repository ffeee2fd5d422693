"""The slash commands, menus, buttons and replies: each cog translates between Discord and the use cases."""
