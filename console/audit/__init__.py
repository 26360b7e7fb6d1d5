"""The audit log: who managed what, chained so that a change of it is found; and search over it."""
