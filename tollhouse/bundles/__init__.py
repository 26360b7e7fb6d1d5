"""Policy bundles: one publisher compiles, numbers and signs a policy; every replica follows it.

`sealed` is the form of a bundle, `store` its place in Redis, `cache` its place on a replica's disk,
`publisher` writes it, `source` reads it. Why it is so: docs/decisions/0010.
"""
