"""What one policy changes against another, for whom: computed on what the services read."""
