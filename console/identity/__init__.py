"""Who a request comes from: a management token, a JWT that Envoy verified, or a browser's session."""
