"""Driving scenes: a small world in the formats of the public data sets."""
