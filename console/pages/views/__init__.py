"""What pages show, as plain values: numbers go in, words and coordinates come out. Pure."""
