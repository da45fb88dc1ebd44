"""Naming tensors inside a network and catching them in one forward."""
from mmkd.taps.catcher import TapCatcher
from mmkd.taps.places import PLACES, standard_taps
from mmkd.taps.tap import Tap, TapLike, TapSpec

__all__ = [
    'PLACES', 'Tap', 'TapCatcher', 'TapLike', 'TapSpec', 'standard_taps'
]
