"""Easel, a Discord bot that paints. The map, from the inside out; imports point inwards only.

domain       the nouns, one to a file, and every error with its sentence
net          where Easel may go, how it calls (httpx), who may call it
logs         log lines without secrets
columns      columns of text, for what the commands print
settings     every environment variable, parsed once
pictures     Pillow, in processes that can be killed
catalog      models as data: what each can do at each provider, and what it costs
ports        the three plugs: Provider, Delivery, Database
routing      which providers can do a request, and which is next
storage      SQLite, its one writer, migrations; units of work
providers    the image services, a folder each, and the registry that knows them
usecases     what members can do, what moderators can do
worker       one job's way: claimed, submitted, polled, delivered
chat         discord.py: client, conversions, delivery, and what each message looks like
app          opens everything in order and closes it in reverse
models       says which models there are, and checks an operator's own
doctor       says whether everything is in order
demo         the play that `make demo` shows
sandbox      stand-ins for Discord and the image services; they import nothing of Easel
__main__     the command line

Beside it: `cogs`, what people type and press.
"""
