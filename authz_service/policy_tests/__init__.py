"""Tests of a policy, in YAML beside it: who may call what, and within what limits."""
