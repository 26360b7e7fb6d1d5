"""Internal keys over their life: made, rotated, blocked, expired, listed, recognised."""
