"""Data sets and transforms of mmkd."""
