"""Parametric meshes: vehicles, people, buildings, plants, furniture."""
