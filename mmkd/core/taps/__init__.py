"""Reading tensors out of a network while it runs."""
from mmkd.core.taps.catcher import TapCatcher
from mmkd.core.taps.tap import Tap, TapLike, TapSpec

__all__ = ['Tap', 'TapCatcher', 'TapLike', 'TapSpec']
