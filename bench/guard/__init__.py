"""The regression guard: what one operation of each hot path costs, against a stored baseline."""
