"""Parametric vehicles.

Frame of an object: origin on the ground under its centre, x front, y left,
z up, metres. Every function but that of the hood returns the mesh and the
size (l, w, h).
"""
from .cars import car
from .heavy import bus, train, truck
from .others import caravan, construction, ego_hood, trailer
from .two_wheelers import bicycle, motorcycle

__all__ = [
    'bicycle', 'bus', 'car', 'caravan', 'construction', 'ego_hood',
    'motorcycle', 'trailer', 'train', 'truck'
]
