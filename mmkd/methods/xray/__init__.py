"""X-Ray: distillation from a teacher with object-complete frames."""
from mmkd.methods.xray.distiller import XRay
from mmkd.registry import TRANSFORMS

__all__ = ['XRay']

TRANSFORMS.add_lazy(  # mmdet3d
    'mmkd.methods.xray.data.transforms', 'CompleteDataBaseSampler',
    'LoadCompleteObjects', 'PackCompleteInputs', 'SplitCompletePoints')
