"""Object-complete frames: each object as all frames of its scene see it."""
