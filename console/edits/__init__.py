"""The use cases that write the policy: keys, teams, projects, models and management tokens.

All are synchronous, for worker threads. Each takes who asks (`Actor`) and raises `ManageError`.
"""
