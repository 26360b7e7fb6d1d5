"""What another policy would have decided on the traffic of access logs."""
