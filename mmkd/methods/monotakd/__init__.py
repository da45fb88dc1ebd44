"""MonoTAKD: teaching assistant for monocular 3D detection."""
from mmkd.methods.monotakd.distiller import MonoTAKD, MonoTAKDAssistant

__all__ = ['MonoTAKD', 'MonoTAKDAssistant']
