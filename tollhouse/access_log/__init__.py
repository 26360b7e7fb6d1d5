"""The access log as files: lines, whichever way they are rotated, and how far they are read."""
