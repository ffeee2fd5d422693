"""Models as data: what each can do at each provider, what a provider calls it, and what it costs."""
