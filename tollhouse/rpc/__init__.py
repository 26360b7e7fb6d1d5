"""gRPC on the event loop: the server of both services."""
