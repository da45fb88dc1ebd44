"""Driving scenes: a small procedural world in the formats of public data sets.
"""
