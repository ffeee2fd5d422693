"""HTTP: which hosts Easel reaches, event streams, and the server for webhooks."""
