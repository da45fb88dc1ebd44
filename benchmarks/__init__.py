"""Benchmarks of speed, memory and the gains of the methods."""
