"""Who a request comes from: a token, a JWT that Envoy verified, or a browser's session."""
