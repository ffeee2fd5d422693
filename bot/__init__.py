"""Easel, a Discord bot that paints. The map, from the bottom up.

models       the nouns
clock        our time and Discord's
errors       what may go wrong, each with its sentence
hosts        which hosts may be spoken to
settings     every environment variable
catalog      models as data, read from catalog.toml
pictures     Pillow, off the event loop
policy       who may do what, and why: pure functions
ports        the three plugs: Provider, Delivery, Database
storage      SQLite, migrations; jobs, quotas and rules as units of work
providers    the services that paint
studio       what members can do
treasury     what moderators can do
errand       one job's way, from claimed to delivered or refunded
worker       claims jobs and looks after their errands
screens      what each message looks like
delivery     Discord as the core sees it: read, show, post
client       discord.py: the client, its command tree, answers to what went wrong
app          opens everything in order and closes it in reverse
sandbox      local stand-ins for Discord and the services
demo         the play that shows Easel in a simulated Discord
__main__     the command line
"""
