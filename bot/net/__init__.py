"""HTTP: which hosts Easel reaches, bounded requests (httpx over aiohttp's connections), and the webhook server."""
