"""Easel, a Discord bot that paints. The map, from the inside out; imports point inwards only.

domain       the nouns, one to a file, and every error with its sentence
net          where Easel may go, and who may call it
logs         log lines without secrets
settings     every environment variable
pictures     Pillow, off the event loop
catalog      models as data: what each can do at each service, and what it costs
ports        the three plugs: Provider, Delivery, Database
routing      which service is asked next
storage      SQLite, migrations; jobs, quotas and rules as units of work
providers    the services that paint, a folder each
usecases     what members can do, what moderators can do
worker       one job's way, from claimed to delivered or refunded
chat         discord.py: client, delivery, and what each message looks like
app          opens everything in order and closes it in reverse
doctor       says whether everything is in order
demo         the play that `make demo` shows
sandbox      stand-ins for Discord and the services; they import nothing of Easel
__main__     the command line

Beside it: `cogs`, what people type and press.
"""
