"""Benchmarks: of speed and memory, and of what the methods gain."""
