"""Models as data: what each can do at each service, what a service calls it, and what it costs."""
