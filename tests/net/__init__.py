"""Hosts, event streams and the webhook server."""
