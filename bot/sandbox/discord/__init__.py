"""A stand-in for Discord: REST API, gateway and CDN on a local socket."""
