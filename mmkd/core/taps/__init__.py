"""Capturing tensors inside a network during a forward pass."""
from mmkd.core.taps.catcher import TapCatcher
from mmkd.core.taps.tap import Tap, TapLike, TapSpec

__all__ = ['Tap', 'TapCatcher', 'TapLike', 'TapSpec']
