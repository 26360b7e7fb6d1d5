"""What is legal in a policy and looks like a mistake. Each has a stable code; see
docs/policy-check.md."""
