"""What both gRPC services are hosted in: addresses, TLS, health, /metrics, readiness, signals."""
