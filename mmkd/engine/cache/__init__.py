"""Runs with cached teachers: views that recur, reports, filling."""
