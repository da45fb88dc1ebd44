"""Sensors that look at the world by casting rays into its geometry."""
from .camera import PinholeCamera, Renderer

__all__ = ['PinholeCamera', 'Renderer']
