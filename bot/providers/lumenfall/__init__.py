"""Lumenfall: an OpenAI-like API that answers a submit with the pictures, and a history of requests."""
