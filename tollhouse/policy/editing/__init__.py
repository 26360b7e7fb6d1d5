"""Edits of policy files that leave all other bytes as they are.

`draft.open_draft` is the way in: read, change, check, write.
"""
