"""HTTP with bounds, over real sockets: the transport, the client, the event streams, the webhook server."""
