"""Capturing or replacing tensors inside a network in a forward pass."""
from mmkd.core.taps.catcher import TapCatcher
from mmkd.core.taps.tap import Tap, TapLike, TapSpec
from mmkd.core.taps.writer import TapWriter

__all__ = ['Tap', 'TapCatcher', 'TapLike', 'TapSpec', 'TapWriter']
