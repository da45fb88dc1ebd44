"""MonoTAKD: teaching assistant for monocular 3D detection."""
from mmkd.methods.monotakd.distiller import MonoTAKD, MonoTAKDAssistant
from mmkd.registry import MODELS

__all__ = ['MonoTAKD', 'MonoTAKDAssistant']

MODELS.add_lazy('mmkd.methods.monotakd.modules', 'FeatureFusion',
                'HeightCollapse', 'ResidualBranches', 'SpatialAlignment')
