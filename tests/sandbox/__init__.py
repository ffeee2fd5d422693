"""The stand-ins themselves, mostly by the services' own clients."""
